/**
 * Checks the signature of an archive's InRelease file: OpenPGP cleartext signatures (RFC 9580, "Cleartext Signature
 * Framework"). What is returned is the signed text alone, never what stands around it.
 */
import { readFileSync } from "node:fs";
import { ImagesError } from "./error.js";

export interface SignedText {
  readonly text: string;
  /** Ids of the keys whose signatures were good, in hexadecimal. */
  readonly signers: readonly string[];
}

/** Loads the keys of a keyring file: binary, or any number of ASCII-armoured blocks. */
export async function readKeyring(path: string) {
  const openpgp = await library();
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ImagesError("environment", `cannot read the keyring '${path}': ${code}`);
  }
  try {
    const text = Buffer.from(bytes).toString("latin1");
    const blocks = text.match(/-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?-----END PGP PUBLIC KEY BLOCK-----/g);
    if (blocks === null) return await openpgp.readKeys({ binaryKeys: bytes });
    return (await Promise.all(blocks.map((armoredKeys) => openpgp.readKeys({ armoredKeys })))).flat();
  } catch (error) {
    throw new ImagesError(
      "environment",
      `'${path}' is no keyring: ${error instanceof Error ? error.message : String(error)}`,
      "a keyring is a file of OpenPGP keys, as gpg --export writes it",
    );
  }
}

export type Keyring = Awaited<ReturnType<typeof readKeyring>>;

/** The text of a cleartext-signed file, when one key of the keyring has signed it; `ImagesError` otherwise. */
export async function verifySigned(
  file: string,
  keyring: Keyring,
  { what, date = new Date() }: { readonly what: string; readonly date?: Date },
): Promise<SignedText> {
  const openpgp = await library();
  let message: Awaited<ReturnType<typeof openpgp.readCleartextMessage>>;
  try {
    message = await openpgp.readCleartextMessage({ cleartextMessage: file });
  } catch (error) {
    throw refused(what, `it is not a signed file: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { data, signatures } = await openpgp.verify({ message, verificationKeys: keyring, date });
  const results = await Promise.all(
    signatures.map(async ({ keyID, verified }) => {
      const id = keyID.toHex();
      try {
        await verified;
        return { id, problem: undefined };
      } catch (error) {
        return { id, problem: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
  const signers = results.filter(({ problem }) => problem === undefined).map(({ id }) => id);
  if (signers.length > 0) return { text: data, signers };
  const known = new Set(keyring.flatMap((key) => key.getKeyIDs().map((id) => id.toHex())));
  if (results.length === 0) throw refused(what, "it has no signature");
  if (!results.some(({ id }) => known.has(id))) {
    throw new ImagesError(
      "not-trusted",
      `${what} is not trusted: it is signed by keys that the keyring does not hold (${results.map(({ id }) => id).join(", ")})`,
      "update the package debian-archive-keyring, or name a newer --keyring",
    );
  }
  const reasons = results.filter(({ id }) => known.has(id)).map(({ id, problem }) => `${problem} (key ${id})`);
  throw refused(what, reasons.join("; "));
}

/** Loaded when it is needed: most commands need none. */
const library = () => import("openpgp");

const refused = (what: string, why: string) =>
  new ImagesError("not-trusted", `${what} is not trusted: ${why}`, "try again, or another mirror");
