/**
 * Checksums of the guest `bench` for a little work of each class, as QEMU 7.2 gives them with images of two compilers: what a
 * machine that computes something else cannot give.
 */
export const BENCH_SUMS: readonly (readonly [name: string, count: number, sum: string])[] = [
  ["integer", 10, "75fd2e47df4ab1bb"],
  ["sequential", 1, "9e378f0ed44a7c15"],
  ["random", 5, "e088b2a85d8aabc0"],
  ["calls", 8, "e5235e0db34540ad"],
  ["bytecode", 2, "cd94bf7e321aab4e"],
  ["double", 5, "83e39f479c23b1c0"],
  ["fma", 50, "91c77c2b18af3cae"],
  ["memcpy", 33, "e646b09ee2055bc4"],
  ["sha256", 20, "f78fcc2bc0daaf5c"],
  ["sha256-instructions", 20, "f78fcc2bc0daaf5c"],
  ["matrix", 2, "bdfd0e9623c3d3db"],
  ["svc", 200, "c287193b609254f7"],
  ["bignum", 1, "442538ca501e2139"],
];
