/** How a run on the FVP ends. */
export type FvpEnd = { readonly why: string } & (
  | /** The suite said that it is done. */ { readonly kind: "suite" }
  | /** The software switched the machine off: PSCI SYSTEM_OFF, or the V2M registers' shutdown. */ {
      readonly kind: "off";
    }
  | /** The suite cannot go on and hangs. */ { readonly kind: "panic" }
  | /** All PEs wait or are off, and nothing can ever wake one. */ { readonly kind: "deadlock" }
  | /** Emulated code takes one exception after another. */ { readonly kind: "exception-loop" }
  | /** One reset after another, and no test gets a result in between. */ { readonly kind: "resets" }
  | /** The monitor or the machine gave up. */ { readonly kind: "stopped" }
  | /** `instructions` of the run are over. */ { readonly kind: "limit" }
  | /** The caller's time is over. */ { readonly kind: "timeout" }
  | /** The caller's process got a signal. */ { readonly kind: "signal"; readonly number: number }
);
