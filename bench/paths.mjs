/**
 * Where the measured things are: in a checkout beside this folder, in an installed package in the folder above (scripts/bundle.mjs
 * copies this folder into the bundle).
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));

const checkout = existsSync(at("../guests/prebuilt"));

/** @param {string} name @returns {string} the file of a built-in image */
export const imageFile = (name) => at(checkout ? `../guests/prebuilt/${name}.bin` : `../images/${name}.bin`);

/** @param {string} name @returns {string} the file of an image for the FVP board */
export const fvpImageFile = (name) => at(checkout ? `../guests/prebuilt-fvp/${name}.bin` : `../fvp-images/${name}.bin`);

/** What `node` runs as the command. */
export const COMMAND = at(checkout ? "../packages/realmbox/bin/realmbox.js" : "../../bin/realmbox.js");

/**
 * The library's module.
 * @param {{ dist: boolean }} which with `dist` the output of `tsc -b`, which is there before the bundle is made
 */
export const libraryFile = ({ dist }) =>
  at(checkout ? `../packages/realmbox/${dist ? "dist" : "bundle"}/index.js` : "../index.js");

/** The program that measures one guest in a process of its own. */
export const CHILD = at("child.mjs");
