/** Names of the binaries of Node 22, 24 and 26, as `c++filt` of binutils 2.40 writes them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { demangle } from "./demangle.ts";

const INVOKE = "v8::internal::(anonymous namespace)::Invoke";

const NAMES: readonly (readonly [symbol: string, written: string])[] = [
  ["_ZTVN6icu_7818UnicodeSetIteratorE", "vtable for icu_78::UnicodeSetIterator"],
  [
    "_ZTVN2v88internal19CppGraphBuilderImpl14VisitationItemE",
    "vtable for v8::internal::CppGraphBuilderImpl::VisitationItem",
  ],
  ["_ZTIN6icu_7817UCharsTrieBuilderE", "typeinfo for icu_78::UCharsTrieBuilder"],
  ["_ZTSN6icu_7817StringEnumerationE", "typeinfo name for icu_78::StringEnumeration"],
  [
    "_ZTTSt14basic_ofstreamIcSt11char_traitsIcEE@GLIBCXX_3.4",
    "VTT for std::basic_ofstream<char, std::char_traits<char> >@GLIBCXX_3.4",
  ],
  [
    "_ZThn72_N4node6crypto7TLSWrap9IsIPCPipeEv",
    "non-virtual thunk to node::crypto::TLSWrap::IsIPCPipe()",
  ],
  [
    "_ZThn80_N4node6crypto9CipherJobINS0_15AESCipherTraitsEED0Ev",
    "non-virtual thunk to node::crypto::CipherJob<node::crypto::AESCipherTraits>::~CipherJo" +
      "b()",
  ],
  [
    "_ZTv0_n24_N2v84base18CheckMessageStreamD0Ev",
    "virtual thunk to v8::base::CheckMessageStream::~CheckMessageStream()",
  ],
  [
    "_ZTCN2v88internal15DbgStdoutStreamE0_So",
    "construction vtable for std::basic_ostream<char, std::char_traits<char> >-in-v8::inter" +
      "nal::DbgStdoutStream",
  ],
  [
    "_ZGVZ16_As_WasmTypeInfomE6result",
    "guard variable for _As_WasmTypeInfo(unsigned long)::result",
  ],
  [
    "_ZGVZ26_As_JSFinalizationRegistrymE6result",
    "guard variable for _As_JSFinalizationRegistry(unsigned long)::result",
  ],
  [
    "_ZGRZNK4LIEF3ELF6Binary20is_targeting_androidEvE10ANDROID_DT_",
    "reference temporary #0 for LIEF::ELF::Binary::is_targeting_android() const::ANDROID_DT",
  ],
  ["_ZTWN5lexer19last_error_locationE", "TLS wrapper function for lexer::last_error_location"],
  [
    "_ZTWN2v88internal6maglev21thread_graph_labellerE",
    "TLS wrapper function for v8::internal::maglev::thread_graph_labeller",
  ],
  [
    "_ZZN4node6worker16WorkerThreadDataD4EvENUlPvE_4_FUNES2_",
    "node::worker::WorkerThreadData::~WorkerThreadData()::{lambda(void*)#1}::_FUN(void*)",
  ],
  [
    "_ZZN4node11Environment21InitializeDiagnosticsEvENUlPvE_4_FUNES1_",
    "node::Environment::InitializeDiagnostics()::{lambda(void*)#1}::_FUN(void*)",
  ],
  [
    "_ZZN4node6crypto12_GLOBAL__N_111GetBIOErrorEvENUlPKcmPvE_4_FUNES3_mS4_",
    "node::crypto::(anonymous namespace)::GetBIOError()::{lambda(char const*, unsigned long" +
      ", void*)#1}::_FUN(char const*, unsigned long, void*)",
  ],
  [
    "_ZZN4node6crypto10ByteSource21ReleaseToBackingStoreEvENUlPvmS2_E_4_FUNES2_mS2_",
    "node::crypto::ByteSource::ReleaseToBackingStore()::{lambda(void*, unsigned long, void*" +
      ")#1}::_FUN(void*, unsigned long, void*)",
  ],
  [
    "_ZN2v88internal4wasm7Decoder6errorfIJPKcjmEEEvjS5_DpT_",
    "void v8::internal::wasm::Decoder::errorf<char const*, unsigned int, unsigned long>(uns" +
      "igned int, char const*, char const*, unsigned int, unsigned long)",
  ],
  [
    "_ZNSt6vectorIN4LIEF8FunctionESaIS1_EE12emplace_backIJRjEEERS1_DpOT_",
    "LIEF::Function& std::vector<LIEF::Function, std::allocator<LIEF::Function> >::emplace_" +
      "back<unsigned int&>(unsigned int&)",
  ],
  [
    "_ZNSt6vectorIN2v818CompiledWasmModuleESaIS1_EE17_M_realloc_appendIJS1_EEEvDpOT_",
    "void std::vector<v8::CompiledWasmModule, std::allocator<v8::CompiledWasmModule> >::_M_" +
      "realloc_append<v8::CompiledWasmModule>(v8::CompiledWasmModule&&)",
  ],
  ["_ZTSN6icu_7821DTSkeletonEnumerationE", "typeinfo name for icu_78::DTSkeletonEnumeration"],
  [
    "_ZN8v8_crdtp4json8platform6DToStrB5cxx11Ed",
    "v8_crdtp::json::platform::DToStr[abi:cxx11](double)",
  ],
  [
    "_ZN2v82V820SetFatalErrorHandlerEPFvPKciS2_E",
    "v8::V8::SetFatalErrorHandler(void (*)(char const*, int, char const*))",
  ],
  [
    "_ZN2v87Isolate18SetOOMErrorHandlerEPFvPKcRKNS_10OOMDetailsEE",
    "v8::Isolate::SetOOMErrorHandler(void (*)(char const*, v8::OOMDetails const&))",
  ],
  [
    "_ZN2v87Isolate26SetWasmJSPIEnabledCallbackEPFbNS_5LocalINS_7ContextEEEE",
    "v8::Isolate::SetWasmJSPIEnabledCallback(bool (*)(v8::Local<v8::Context>))",
  ],
  ["_ZN6icu_7814GMTOffsetFieldD0Ev", "icu_78::GMTOffsetField::~GMTOffsetField()"],
  [
    "_ZNK6icu_786BMPSet8spanUTF8EPKhi17USetSpanCondition",
    "icu_78::BMPSet::spanUTF8(unsigned char const*, int, USetSpanCondition) const",
  ],
  [
    "_ZN2v87Isolate18SetOOMErrorHandlerEPFvPKcRKNS_10OOMDetailsEPvES6_",
    "v8::Isolate::SetOOMErrorHandler(void (*)(char const*, v8::OOMDetails const&, void*), v" +
      "oid*)",
  ],
  ["_ZN7ncrypto12KeyAlgorithm17SLH_DSA_SHA2_192SE", "ncrypto::KeyAlgorithm::SLH_DSA_SHA2_192S"],
  [
    "_ZN4node10JSONWriter13json_keyvalueIA8_clEEvRKT_RKT0_",
    "void node::JSONWriter::json_keyvalue<char [8], long>(char const (&) [8], long const&)",
  ],
  [
    "_ZN4node10JSONWriter13json_keyvalueIA18_cmEEvRKT_RKT0_",
    "void node::JSONWriter::json_keyvalue<char [18], unsigned long>(char const (&) [18], un" +
      "signed long const&)",
  ],
  [
    "_ZN4node10JSONWriter13json_keyvalueIA4_cA16_cEEvRKT_RKT0_",
    "void node::JSONWriter::json_keyvalue<char [4], char [16]>(char const (&) [4], char con" +
      "st (&) [16])",
  ],
  ["_ZN7ncrypto10BIOPointerC2EP6bio_st", "ncrypto::BIOPointer::BIOPointer(bio_st*)"],
  [
    "_ZN6icu_7820UnicodeSetStringSpanC2ERKS0_RKNS_7UVectorE",
    "icu_78::UnicodeSetStringSpan::UnicodeSetStringSpan(icu_78::UnicodeSetStringSpan const&" +
      ", icu_78::UVector const&)",
  ],
  [
    "_ZN2v88internal8compiler26MachineOperatorGlobalCache16F32x4NegOperatorC1Ev",
    "v8::internal::compiler::MachineOperatorGlobalCache::F32x4NegOperator::F32x4NegOperator" + "()",
  ],
  ["_ZN4node5http211Http2StreamD2Ev", "node::http2::Http2Stream::~Http2Stream()"],
  [
    "_ZN2v812_GLOBAL__N_117ExtensionResourceD1Ev",
    "v8::(anonymous namespace)::ExtensionResource::~ExtensionResource()",
  ],
  [
    "_ZN2v88internal11interpreter25BytecodeRegisterOptimizerD1Ev",
    "v8::internal::interpreter::BytecodeRegisterOptimizer::~BytecodeRegisterOptimizer()",
  ],
  ["_ZN4node11per_process12reverted_cveE", "node::per_process::reverted_cve"],
  [
    "_ZTVSt12codecvt_utf8IwLm1114111ELSt12codecvt_mode0EE",
    "vtable for std::codecvt_utf8<wchar_t, 1114111ul, (std::codecvt_mode)0>",
  ],
  [
    "_ZN3fmt3v1115range_formatterItcvE5parseERNS0_13parse_contextIcEE",
    "fmt::v11::range_formatter<unsigned short, char, void>::parse(fmt::v11::parse_context<c" +
      "har>&)",
  ],
  [
    "_ZNK7ncrypto11DigestCache7aliasesB5cxx11Ev",
    "ncrypto::DigestCache::aliases[abi:cxx11]() const",
  ],
  [
    "_ZN4node13SocketAddress10GetAddressB5cxx11EPK8sockaddr",
    "node::SocketAddress::GetAddress[abi:cxx11](sockaddr const*)",
  ],
  [
    "_ZTVN2v88internal23IfStatementSourceRangesE",
    "vtable for v8::internal::IfStatementSourceRanges",
  ],
  [
    "_ZNK2v88internal6maglev18CallForwardVarargs11PrintParamsERSo",
    "v8::internal::maglev::CallForwardVarargs::PrintParams(std::basic_ostream<char, std::ch" +
      "ar_traits<char> >&) const",
  ],
  ["_ZSt15__once_callable@GLIBCXX_3.4.11", "std::__once_callable@GLIBCXX_3.4.11"],
  [
    "_ZSt11__make_heapIPhN9__gnu_cxx5__ops15_Iter_less_iterEEvT_S4_RT0_",
    "void std::__make_heap<unsigned char*, __gnu_cxx::__ops::_Iter_less_iter>(unsigned char" +
      "*, unsigned char*, __gnu_cxx::__ops::_Iter_less_iter&)",
  ],
  [
    "_ZN2v88internal4wasm24simd_float16_fma_wrapperIXadL_ZNS1_4QfmaEfffEEEEvm",
    "void v8::internal::wasm::simd_float16_fma_wrapper<&v8::internal::wasm::Qfma>(unsigned " +
      "long)",
  ],
  [
    "_ZN2v88internal4wasm24simd_float16_fma_wrapperIXadL_ZNS1_4QfmsEfffEEEEvm",
    "void v8::internal::wasm::simd_float16_fma_wrapper<&v8::internal::wasm::Qfms>(unsigned " +
      "long)",
  ],
  [
    "_ZNSt8__detail15_BracketMatcherINSt7__cxx1112regex_traitsIcEELb1ELb1EED1Ev",
    "std::__detail::_BracketMatcher<std::__cxx11::regex_traits<char>, true, true>::~_Bracke" +
      "tMatcher()",
  ],
  [
    "_ZN2v88internal20PerThreadAssertScopeILb1EJLNS0_19PerThreadAssertTypeE7EEED2Ev",
    "v8::internal::PerThreadAssertScope<true, (v8::internal::PerThreadAssertType)7>::~PerTh" +
      "readAssertScope()",
  ],
  [
    "_ZNK2v88internal16BuiltinExitFrame13IsConstructorEv",
    "v8::internal::BuiltinExitFrame::IsConstructor() const",
  ],
  [
    "_ZN6icu_7824DateTimePatternGeneratoraSERKS0_.part.0",
    "icu_78::DateTimePatternGenerator::operator=(icu_78::DateTimePatternGenerator const&) [" +
      "clone .part.0]",
  ],
  [
    "_ZN2v88internal6maglev12_GLOBAL__N_119MaybeUnparkForPrintD2Ev.part.0",
    "v8::internal::maglev::(anonymous namespace)::MaybeUnparkForPrint::~MaybeUnparkForPrint" +
      "() [clone .part.0]",
  ],
  [
    "_ZN2v88internal10ZoneVectorINS0_8compiler6MapRefEEaSERKS4_.isra.0",
    "v8::internal::ZoneVector<v8::internal::compiler::MapRef>::operator=(v8::internal::Zone" +
      "Vector<v8::internal::compiler::MapRef> const&) [clone .isra.0]",
  ],
  [
    "_ZNSi10_M_extractIdEERSiRT_@@GLIBCXX_3.4.9",
    "std::basic_istream<char, std::char_traits<char> >& std::basic_istream<char, std::char_" +
      "traits<char> >::_M_extract<double>(double&)@@GLIBCXX_3.4.9",
  ],
  [
    "_ZN3std2fs10DirBuilder7_create17h6fbc47a2b77d449fE",
    "std::fs::DirBuilder::_create::h6fbc47a2b77d449f",
  ],
  [
    "_ZN4core3fmt8builders11DebugStruct6finish17h4d37d9c83beb5eebE",
    "core::fmt::builders::DebugStruct::finish::h4d37d9c83beb5eeb",
  ],
  [
    "_ZN3std3sys2fs6rename28_$u7b$$u7b$closure$u7d$$u7d$17heb0ab6a334408aa6E",
    "std::sys::fs::rename::{{closure}}::heb0ab6a334408aa6",
  ],
  [
    "_ZN6icu_7812_GLOBAL__N_114CategoriesSinkD1Ev",
    "icu_78::(anonymous namespace)::CategoriesSink::~CategoriesSink()",
  ],
  [
    "_ZTVN2v84base5debug12_GLOBAL__N_127PrintBacktraceOutputHandlerE",
    "vtable for v8::base::debug::(anonymous namespace)::PrintBacktraceOutputHandler",
  ],
  [
    "_ZN2v88internal4wasm7Decoder6errorfIJjjjjEEEvjPKcDpT_",
    "void v8::internal::wasm::Decoder::errorf<unsigned int, unsigned int, unsigned int, uns" +
      "igned int>(unsigned int, char const*, unsigned int, unsigned int, unsigned int, unsign" +
      "ed int)",
  ],
  [
    "_ZN4LIEF2PE14unwind_aarch647Decoder3logIJA4_cjEEERS2_PKcDpRKT_",
    "LIEF::PE::unwind_aarch64::Decoder& LIEF::PE::unwind_aarch64::Decoder::log<char [4], un" +
      "signed int>(char const*, char const (&) [4], unsigned int const&)",
  ],
  [
    "_ZN2v88internal9Assembler12aligned_cmplIJNS0_7OperandENS0_8RegisterEEEEvDpT_",
    "void v8::internal::Assembler::aligned_cmpl<v8::internal::Operand, v8::internal::Regist" +
      "er>(v8::internal::Operand, v8::internal::Register)",
  ],
  [
    "_ZN2v88internal14relaxed_memcpyEPVcPVKcm",
    "v8::internal::relaxed_memcpy(char volatile*, char const volatile*, unsigned long)",
  ],
  [
    "_ZZ40_As_UncompiledDataWithPreparseDataAndJobmE6result",
    "_As_UncompiledDataWithPreparseDataAndJob(unsigned long)::result",
  ],
  [
    "_ZZN4node9AsyncWrap21EmitTraceEventDestroyEvE28trace_event_unique_atomic572_8",
    "node::AsyncWrap::EmitTraceEventDestroy()::trace_event_unique_atomic572",
  ],
  [
    "_ZN4node6crypto18SecretKeyGenConfigD0Ev",
    "node::crypto::SecretKeyGenConfig::~SecretKeyGenConfig()",
  ],
  [
    "_ZThn32_N2v88internal12_GLOBAL__N_118CancelableFuncTaskD0Ev",
    "non-virtual thunk to v8::internal::(anonymous namespace)::CancelableFuncTask::~Cancela" +
      "bleFuncTask()",
  ],
  [
    "_ZN2v84base8CallOnceIJPvEEEvPSt6atomicIhENS0_16FunctionWithArgsIJDpT_EE4typeES8_",
    "void v8::base::CallOnce<void*>(std::atomic<unsigned char>*, v8::base::FunctionWithArgs" +
      "<void*>::type, void*)",
  ],
  [
    "_ZN4LIEF15vector_iostream5writeIhLm4EEERS0_RKSt5arrayIT_XT0_EE",
    "LIEF::vector_iostream& LIEF::vector_iostream::write<unsigned char, 4ul>(std::array<uns" +
      "igned char, 4ul> const&)",
  ],
  [
    "_ZN2v88internal8compiler25SimplifiedOperatorBuilder17ObjectIsMinusZeroEv",
    "v8::internal::compiler::SimplifiedOperatorBuilder::ObjectIsMinusZero()",
  ],
  [
    "_ZNSi10_M_extractIlEERSiRT_@@GLIBCXX_3.4.9",
    "std::basic_istream<char, std::char_traits<char> >& std::basic_istream<char, std::char_" +
      "traits<char> >::_M_extract<long>(long&)@@GLIBCXX_3.4.9",
  ],
  [
    "_ZNKRSt8optionalIN12v8_inspector8String16EE8value_orIRKS1_EES1_OT_",
    "v8_inspector::String16 std::optional<v8_inspector::String16>::value_or<v8_inspector::S" +
      "tring16 const&>(v8_inspector::String16 const&) const &",
  ],
  [
    "_ZN4node26THROW_ERR_WASI_NOT_STARTEDEPN2v87IsolateE",
    "node::THROW_ERR_WASI_NOT_STARTED(v8::Isolate*)",
  ],
];

describe("a mangled name", () => {
  for (const [symbol, written] of NAMES) {
    it(`is written as c++filt does: ${written.slice(0, 60)}`, () => {
      assert.equal(demangle(symbol, true), written);
    });
  }

  it("is written without parameters and result for stacks", () => {
    const names: readonly (readonly [string, string])[] = [
      ["_ZN4node5StartEiPPc", "node::Start"],
      ["_ZNK2v85Value10IsFunctionEv", "v8::Value::IsFunction"],
      ["_ZN2v88internal12_GLOBAL__N_16InvokeEPNS0_7IsolateE", INVOKE],
      ["_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back"],
      ["uv_run", "uv_run"],
    ];
    for (const [symbol, written] of names) assert.equal(demangle(symbol, false), written);
  });

  it("that is none, or cut off, or without end comes out as it is", () => {
    const deep = `_Z1f${"P".repeat(5000)}i`;
    for (const text of ["", "_Z", "_ZN", "_ZN4node", "_ZN4nodeE_", "_Z1fT_", deep]) {
      assert.equal(demangle(text, true), text);
    }
  });

  it("that stands for a name without bound comes out as it is", () => {
    const twice = Array.from({ length: 30 }, (_, index) => {
      const before = `S${(2 * index).toString(36).toUpperCase()}_`;
      return `1aI${before}${before}E`;
    });
    const bomb = `_Z1f1aIiiE${twice.join("")}`;
    assert.equal(demangle(bomb, true), bomb);
  });

  it("may be anything: it is never thrown at, and never larger than a bound", () => {
    const bits = fc.constantFrom(..."NKSILEJXTDUZPRFAMC_0123459abcdhijlmstvzwpo.@$".split(""));
    const part = fc.constantFrom(...NAMES.map(([symbol]) => symbol));
    const damaged = fc
      .tuple(part, fc.nat(90), fc.nat(12), fc.array(bits, { maxLength: 12 }))
      .map(([name, at, count, more]) => name.slice(0, at) + more.join("") + name.slice(at + count));
    const any = fc.oneof(
      damaged,
      fc.array(bits, { maxLength: 60 }).map((all) => `_Z${all.join("")}`),
    );
    fc.assert(
      fc.property(any, fc.boolean(), (symbol, areParametersShown) => {
        assert.ok(demangle(symbol, areParametersShown).length <= 40_000);
      }),
      { numRuns: 3000 },
    );
  });
});
