/** Translation regimes, each with its own stage-1 registers. DDI 0487, "Translation regimes". */
export const Regime = { EL10: 0, EL2: 1, EL20: 2, EL3: 3 } as const;
export type Regime = (typeof Regime)[keyof typeof Regime];
