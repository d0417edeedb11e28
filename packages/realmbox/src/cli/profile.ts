/** `--profile FILE` and `--symbols FILE` of `run`: where the guest spends its counts. */
import type { Machine } from "@realmbox/machine";
import { profileSpeedscope, profileText } from "../profile/profile-report.js";
import { PROFILE_EVERY, Profiler } from "../profile/profiler.js";
import { readSymbols, SymbolTable } from "../profile/symbols.js";
import { readInput } from "./images.js";
import { UsageError } from "./usage.js";

export interface ProfileFlags {
  readonly profile?: string;
  readonly symbols?: readonly string[];
}

/** What the options ask for; checked before the run. `write` puts a file where `--profile` says. */
export function profileOf(
  { profile, symbols = [] }: ProfileFlags,
  image: string,
  write: (path: string, text: string) => void,
): ((machine: Machine) => { readonly profiler: Profiler; readonly end: () => void }) | undefined {
  if (profile === undefined) {
    if (symbols.length > 0) throw new UsageError("--symbols without --profile", "add --profile profile.txt");
    return undefined;
  }
  const table = new SymbolTable(
    symbols.flatMap((path) => {
      const found = readSymbols(readInput("option '--symbols'", path));
      if (found === undefined)
        throw new UsageError(`option '--symbols': '${path}' is neither an ELF file with symbols nor a System.map`);
      return found;
    }),
  );
  write(profile, "");
  return (machine) => {
    const profiler = new Profiler(machine);
    const end = () => {
      const rows = profiler.rows();
      const text = profile.endsWith(".json")
        ? `${JSON.stringify(profileSpeedscope(rows, table, image))}\n`
        : profileText(rows, table, PROFILE_EVERY);
      write(profile, text);
    };
    return { profiler, end };
  };
}
