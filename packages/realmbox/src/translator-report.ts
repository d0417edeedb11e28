/** What the translator did in a run, for reports. Seconds are the host's; everything else repeats from run to run. */
import { instructionsTotal, type Machine } from "@realmbox/machine";

export interface TranslatorReport {
  /** Regions that there are at the end, and all that were made. */
  readonly regions: number;
  readonly translations: number;
  /** Instructions that guests retired, by engine. */
  readonly instructions: { readonly interpreted: number; readonly translated: number };
  /** How often translated code was entered. */
  readonly entries: number;
  /** Guest instructions that were translated, and bytes of WebAssembly that there are at the end. */
  readonly translatedPlaces: number;
  readonly codeBytes: number;
  /** Regions that were dropped because their code was written over; times that all were, because a limit was reached. */
  readonly invalidations: number;
  readonly evictions: number;
  /** Misses of the software TLB that translated code had filled. */
  readonly tlbMisses: number;
  readonly emitSeconds: number;
  readonly compileSeconds: number;
}

/** Null: everything was interpreted. */
export function translatorReport({ translator, counters, pes }: Machine): TranslatorReport | null {
  if (translator === undefined) return null;
  for (const pe of pes) pe.account();
  const { regions, translations, instructions, codeBytes, invalidations, evictions, fills } = translator.counters;
  const { emitSeconds, compileSeconds } = translator.counters;
  const translated = translator.translatedInstructions;
  return {
    regions,
    translations,
    instructions: { interpreted: instructionsTotal(counters) - translated, translated },
    entries: translator.regionEntries,
    translatedPlaces: instructions,
    codeBytes,
    invalidations,
    evictions,
    tlbMisses: fills,
    emitSeconds,
    compileSeconds,
  };
}
