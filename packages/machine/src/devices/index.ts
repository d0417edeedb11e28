export * from "./create.js";
export * from "./device.js";
export { FLASH_BLOCK_SIZE, NorFlash } from "./nor-flash.js";
export * from "./pl011.js";
export type * from "./rows.js";
export { Schedule } from "./schedule.js";
