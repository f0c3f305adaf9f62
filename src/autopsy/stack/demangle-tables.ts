/** Codes of the Itanium C++ ABI (5.1), and how binutils' c++filt writes them. */

/** `<builtin-type>` of one letter. */
export const BUILTIN_TYPES: ReadonlyMap<string, string> = new Map([
  ["v", "void"],
  ["w", "wchar_t"],
  ["b", "bool"],
  ["c", "char"],
  ["a", "signed char"],
  ["h", "unsigned char"],
  ["s", "short"],
  ["t", "unsigned short"],
  ["i", "int"],
  ["j", "unsigned int"],
  ["l", "long"],
  ["m", "unsigned long"],
  ["x", "long long"],
  ["y", "unsigned long long"],
  ["n", "__int128"],
  ["o", "unsigned __int128"],
  ["f", "float"],
  ["d", "double"],
  ["e", "long double"],
  ["g", "__float128"],
  ["z", "..."],
]);

/** Those of two letters, the first of which is `D`. */
export const D_TYPES: ReadonlyMap<string, string> = new Map([
  ["Dd", "decimal64"],
  ["De", "decimal128"],
  ["Df", "decimal32"],
  ["Dh", "half"],
  ["Di", "char32_t"],
  ["Ds", "char16_t"],
  ["Du", "char8_t"],
  ["Da", "auto"],
  ["Dc", "decltype(auto)"],
  ["Dn", "decltype(nullptr)"],
]);

/** What is behind a number of these types; others are written as a cast. */
export const LITERAL_SUFFIXES: ReadonlyMap<string, string> = new Map([
  ["int", ""],
  ["unsigned int", "u"],
  ["long", "l"],
  ["unsigned long", "ul"],
  ["long long", "ll"],
  ["unsigned long long", "ull"],
]);

/** `<operator-name>`: text, and how many operands it has in an expression. */
export const OPERATORS: ReadonlyMap<string, readonly [text: string, operands: number]> = new Map([
  ["aN", ["&=", 2]],
  ["aS", ["=", 2]],
  ["aa", ["&&", 2]],
  ["ad", ["&", 1]],
  ["an", ["&", 2]],
  ["aw", ["co_await ", 1]],
  ["cl", ["()", 2]],
  ["cm", [",", 2]],
  ["co", ["~", 1]],
  ["dV", ["/=", 2]],
  ["da", ["delete[] ", 1]],
  ["de", ["*", 1]],
  ["dl", ["delete ", 1]],
  ["ds", [".*", 2]],
  ["dt", [".", 2]],
  ["dv", ["/", 2]],
  ["eO", ["^=", 2]],
  ["eo", ["^", 2]],
  ["eq", ["==", 2]],
  ["ge", [">=", 2]],
  ["gt", [">", 2]],
  ["ix", ["[]", 2]],
  ["lS", ["<<=", 2]],
  ["le", ["<=", 2]],
  ["ls", ["<<", 2]],
  ["lt", ["<", 2]],
  ["mI", ["-=", 2]],
  ["mL", ["*=", 2]],
  ["mi", ["-", 2]],
  ["ml", ["*", 2]],
  ["mm", ["--", 1]],
  ["na", ["new[]", 3]],
  ["ne", ["!=", 2]],
  ["ng", ["-", 1]],
  ["nt", ["!", 1]],
  ["nw", ["new", 3]],
  ["oR", ["|=", 2]],
  ["oo", ["||", 2]],
  ["or", ["|", 2]],
  ["pL", ["+=", 2]],
  ["pl", ["+", 2]],
  ["pm", ["->*", 2]],
  ["pp", ["++", 1]],
  ["ps", ["+", 1]],
  ["pt", ["->", 2]],
  ["qu", ["?", 3]],
  ["rM", ["%=", 2]],
  ["rS", [">>=", 2]],
  ["rm", ["%", 2]],
  ["rs", [">>", 2]],
  ["ss", ["<=>", 2]],
]);

/** Expressions that are a word before one operand: a type, or an expression. */
export const WORDS: ReadonlyMap<string, readonly [text: string, operand: "type" | "value"]> =
  new Map([
    ["st", ["sizeof ", "type"]],
    ["sz", ["sizeof ", "value"]],
    ["at", ["alignof ", "type"]],
    ["az", ["alignof ", "value"]],
    ["nx", ["noexcept", "value"]],
    ["ti", ["typeid ", "type"]],
    ["te", ["typeid ", "value"]],
  ]);

/** `<substitution>` of the standard library: in full, and its last name. */
export const STANDARD: ReadonlyMap<string, readonly [full: string, last: string]> = new Map([
  ["Sa", ["std::allocator", "allocator"]],
  ["Sb", ["std::basic_string", "basic_string"]],
  [
    "Ss",
    ["std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "basic_string"],
  ],
  ["Si", ["std::basic_istream<char, std::char_traits<char> >", "basic_istream"]],
  ["So", ["std::basic_ostream<char, std::char_traits<char> >", "basic_ostream"]],
  ["Sd", ["std::basic_iostream<char, std::char_traits<char> >", "basic_iostream"]],
]);

/** `<special-name>`: what stands before a type, or before a name or an encoding. */
export const SPECIAL: ReadonlyMap<string, readonly [text: string, of: "type" | "encoding"]> =
  new Map([
    ["TV", ["vtable for ", "type"]],
    ["TT", ["VTT for ", "type"]],
    ["TI", ["typeinfo for ", "type"]],
    ["TS", ["typeinfo name for ", "type"]],
    ["TF", ["typeinfo fn for ", "type"]],
    ["TH", ["TLS init function for ", "encoding"]],
    ["TW", ["TLS wrapper function for ", "encoding"]],
    ["GV", ["guard variable for ", "encoding"]],
    ["GA", ["hidden alias for ", "encoding"]],
  ]);
