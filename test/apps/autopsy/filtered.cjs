/** Filters its own system calls (seccomp): fork(2) without any flag kills it. */
const koffi = require("koffi");

const [NR_CLONE, NR_SECCOMP, PR_SET_NO_NEW_PRIVS] = [56, 317, 38];
const [SET_MODE_FILTER, FLAG_TSYNC] = [1, 1];
const [ALLOW, KILL_PROCESS] = [0x7fff0000, 0x80000000];
const [LOAD, JUMP_EQUAL, RETURN] = [0x20, 0x15, 0x06];
/** In `seccomp_data`: the number of the call, its first argument. */
const [AT_NUMBER, AT_FLAGS] = [0, 16];

// struct sock_filter: code, jump when true, jump when false, k
const program = [
  [LOAD, 0, 0, AT_NUMBER],
  [JUMP_EQUAL, 0, 3, NR_CLONE],
  [LOAD, 0, 0, AT_FLAGS],
  [JUMP_EQUAL, 0, 1, 0],
  [RETURN, 0, 0, KILL_PROCESS],
  [RETURN, 0, 0, ALLOW],
];
const filter = Buffer.from(new ArrayBuffer(256)).subarray(0, 8 * program.length);
for (const [index, [code, yes, no, k]] of program.entries()) {
  filter.writeUInt16LE(code, 8 * index);
  filter[8 * index + 2] = yes;
  filter[8 * index + 3] = no;
  filter.writeUInt32LE(k, 8 * index + 4);
}
// struct sock_fprog: length, address
const given = Buffer.from(new ArrayBuffer(256)).subarray(0, 16);
given.writeUInt16LE(program.length, 0);
given.writeBigUInt64LE(koffi.address(filter), 8);

const libc = koffi.load(null);
const prctl = libc.func("int prctl(int, ulong, ulong, ulong, ulong)");
const syscall = libc.func("long syscall(long, ulong, ulong, void *)");
if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) throw new Error("no_new_privs");
const result = syscall(NR_SECCOMP, SET_MODE_FILTER, FLAG_TSYNC, given);
if (result !== 0) throw new Error(`seccomp: ${result}`);

class Kept {}
globalThis.kept = Array.from({ length: 321 }, () => new Kept());
setInterval(() => process.stdout.write("alive\n"), 20);
