/**
 * Symbols of a Node binary by which its V8 is read: mangled names (Itanium C++ ABI), or beginnings
 * of names. To look at a hundred thousand names takes a while, so they are searched for at once.
 */

/** Constants that V8 has for debuggers (tools/gen-postmortem-metadata.py). */
export const CONSTANTS = "v8dbg_";
export const BUILTINS = "Builtins_";
export const VERSION_STRING = "_ZN2v88internal7Version15version_string_E";
export const BYTECODE_SIZES = "_ZN2v88internal11interpreter9Bytecodes14kBytecodeSizesE";
/** A table within a function; its name ends in `6counts`. */
export const OPERAND_COUNTS = "_ZZN2v88internal29TranslationOpcodeOperandCount";
export const ADD_POSITION = "_ZN2v88internal26SourcePositionTableBuilder11AddPosition";
export const CURRENT_ISOLATE = "_ZN2v88internal18g_current_isolate_E";

export const V8_NAMES: readonly string[] = [
  CONSTANTS,
  BUILTINS,
  VERSION_STRING,
  BYTECODE_SIZES,
  OPERAND_COUNTS,
  ADD_POSITION,
  CURRENT_ISOLATE,
];
