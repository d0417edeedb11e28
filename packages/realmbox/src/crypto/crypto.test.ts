import { Buffer } from "node:buffer";
import * as node from "node:crypto";
import type { EcCurve, HashAlgorithm } from "@realmbox/abi";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "./node.js";
import { portableCrypto } from "./portable.js";

const implementations = [
  { name: "portable", crypto: portableCrypto },
  { name: "node", crypto: nodeCrypto },
];
const CURVES: readonly { curve: EcCurve; size: number }[] = [
  { curve: "P-256", size: 32 },
  { curve: "P-384", size: 48 },
  { curve: "P-521", size: 66 },
];
const HASHES: readonly HashAlgorithm[] = ["sha-256", "sha-384", "sha-512"];

/** Hex digits as an octet string of `size` bytes; the RFC prints P-521 numbers with 131 digits. */
const octets = (hex: string, size: number) => Uint8Array.from(Buffer.from(hex.padStart(2 * size, "0"), "hex"));
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex").toUpperCase();
const text = (data: string) => Uint8Array.from(Buffer.from(data));

/** RFC 6979, appendix A.2.5 to A.2.7: private keys, and r, s per hash for the messages "sample" and "test". */
const RFC6979 = [
  {
    curve: "P-256",
    size: 32,
    x: "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
    sample: {
      "sha-256": [
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
      ],
      "sha-384": [
        "0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719",
        "4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954",
      ],
      "sha-512": [
        "8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00",
        "2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE",
      ],
    },
    test: {
      "sha-256": [
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
      ],
      "sha-384": [
        "83910E8B48BB0C74244EBDF7F07A1C5413D61472BD941EF3920E623FBCCEBEB6",
        "8DDBEC54CF8CD5874883841D712142A56A8D0F218F5003CB0296B6B509619F2C",
      ],
      "sha-512": [
        "461D93F31B6540894788FD206C07CFA0CC35F46FA3C91816FFF1040AD1581A04",
        "39AF9F15DE0DB8D97E72719C74820D304CE5226E32DEDAE67519E840D1194E55",
      ],
    },
  },
  {
    curve: "P-384",
    size: 48,
    x: "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
    sample: {
      "sha-256": [
        "21B13D1E013C7FA1392D03C5F99AF8B30C570C6F98D4EA8E354B63A21D3DAA33BDE1E888E63355D92FA2B3C36D8FB2CD",
        "F3AA443FB107745BF4BD77CB3891674632068A10CA67E3D45DB2266FA7D1FEEBEFDC63ECCD1AC42EC0CB8668A4FA0AB0",
      ],
      "sha-384": [
        "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
        "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
      ],
      "sha-512": [
        "ED0959D5880AB2D869AE7F6C2915C6D60F96507F9CB3E047C0046861DA4A799CFE30F35CC900056D7C99CD7882433709",
        "512C8CCEEE3890A84058CE1E22DBC2198F42323CE8ACA9135329F03C068E5112DC7CC3EF3446DEFCEB01A45C2667FDD5",
      ],
    },
    test: {
      "sha-256": [
        "6D6DEFAC9AB64DABAFE36C6BF510352A4CC27001263638E5B16D9BB51D451559F918EEDAF2293BE5B475CC8F0188636B",
        "2D46F3BECBCC523D5F1A1256BF0C9B024D879BA9E838144C8BA6BAEB4B53B47D51AB373F9845C0514EEFB14024787265",
      ],
      "sha-384": [
        "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F1DD3CA3CF023DB",
        "DDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A739F040649A667BF3B828246BAA5A5",
      ],
      "sha-512": [
        "A0D5D090C9980FAF3C2CE57B7AE951D31977DD11C775D314AF55F76C676447D06FB6495CD21B4B6E340FC236584FB277",
        "976984E59B4C77B0E8E4460DCA3D9F20E07B9BB1F63BEEFAF576F6B2E8B224634A2092CD3792E0159AD9CEE37659C736",
      ],
    },
  },
  {
    curve: "P-521",
    size: 66,
    x: "0FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538",
    sample: {
      "sha-256": [
        "1511BB4D675114FE266FC4372B87682BAECC01D3CC62CF2303C92B3526012659D16876E25C7C1E57648F23B73564D67F61C6F14D527D54972810421E7D87589E1A7",
        "04A171143A83163D6DF460AAF61522695F207A58B95C0644D87E52AA1A347916E4F7A72930B1BC06DBE22CE3F58264AFD23704CBB63B29B931F7DE6C9D949A7ECFC",
      ],
      "sha-384": [
        "1EA842A0E17D2DE4F92C15315C63DDF72685C18195C2BB95E572B9C5136CA4B4B576AD712A52BE9730627D16054BA40CC0B8D3FF035B12AE75168397F5D50C67451",
        "1F21A3CEE066E1961025FB048BD5FE2B7924D0CD797BABE0A83B66F1E35EEAF5FDE143FA85DC394A7DEE766523393784484BDF3E00114A1C857CDE1AA203DB65D61",
      ],
      "sha-512": [
        "0C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA",
        "0617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A",
      ],
    },
    test: {
      "sha-256": [
        "00E871C4A14F993C6C7369501900C4BC1E9C7B0B4BA44E04868B30B41D8071042EB28C4C250411D0CE08CD197E4188EA4876F279F90B3D8D74A3C76E6F1E4656AA8",
        "0CD52DBAA33B063C3A6CD8058A1FB0A46A4754B034FCC644766CA14DA8CA5CA9FDE00E88C1AD60CCBA759025299079D7A427EC3CC5B619BFBC828E7769BCD694E86",
      ],
      "sha-384": [
        "14BEE21A18B6D8B3C93FAB08D43E739707953244FDBE924FA926D76669E7AC8C89DF62ED8975C2D8397A65A49DCC09F6B0AC62272741924D479354D74FF6075578C",
        "133330865C067A0EAF72362A65E2D7BC4E461E8C8995C3B6226A21BD1AA78F0ED94FE536A0DCA35534F0CD1510C41525D163FE9D74D134881E35141ED5E8E95B979",
      ],
      "sha-512": [
        "13E99020ABF5CEE7525D16B69B229652AB6BDF2AFFCAEF38773B4B7D08725F10CDB93482FDCC54EDCEE91ECA4166B2A7C6265EF0CE2BD7051B7CEF945BABD47EE6D",
        "1FBD0013C674AA79CB39849527916CE301C66EA7CE8B80682786AD60F98F7E78A19CA69EFF5C57400E3B3A0AD66CE0978214D13BAF4E9AC60752F7B155E2DE4DCE3",
      ],
    },
  },
] as const;

describe.each(implementations)("$name", ({ crypto }) => {
  test.each(
    RFC6979.flatMap(({ curve, size, x, ...messages }) =>
      (["sample", "test"] as const).flatMap((message) =>
        HASHES.map((hash) => ({ curve, size, x, message, hash, rs: messages[message][hash] })),
      ),
    ),
  )("RFC 6979 $curve $hash $message", ({ curve, size, x, message, hash, rs }) => {
    const privateKey = octets(x, size);
    const signature = crypto.ecSign(curve, hash, privateKey, text(message));
    expect(hex(signature)).toBe(rs.map((half) => hex(octets(half, size))).join(""));
    expect(crypto.ecVerify(curve, hash, crypto.ecPublicKey(curve, privateKey), text(message), signature)).toBe(true);
  });

  // FIPS 180-4's example message; the digests are NIST's published example values.
  test.each([
    ["sha-256", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"],
    ["sha-384", "CB00753F45A35E8BB5A03D699AC65007272C32AB0EDED1631A8B605A43FF5BED8086072BA1E7CC2358BAECA134C825A7"],
    [
      "sha-512",
      "DDAF35A193617ABACC417349AE20413112E6FA4E89A97EA20A9EEEE64B55D39A2192992A274FC1A836BA3C23A3FEEBBD454D4423643CE80E2A9AC94FA54CA49F",
    ],
  ] as const)("%s of abc, whole and in parts", (algorithm, digest) => {
    expect(hex(crypto.hash(algorithm, text("abc")))).toBe(digest);
    expect(hex(crypto.hash(algorithm, text("a"), text(""), text("bc")))).toBe(digest);
    expect(crypto.hash(algorithm).constructor).toBe(Uint8Array);
  });

  test.each(CURVES)("$curve: a scalar that is 0 or not below the order is refused", ({ curve, size }) => {
    expect(() => crypto.ecPublicKey(curve, new Uint8Array(size))).toThrow();
    expect(() => crypto.ecPublicKey(curve, new Uint8Array(size).fill(0xff))).toThrow();
    expect(() => crypto.ecPublicKey(curve, new Uint8Array(size - 1).fill(1))).toThrow();
  });

  test.each(CURVES)("$curve: malformed keys and signatures are false, not exceptions", ({ curve, size }) => {
    const privateKey = new Uint8Array(size).fill(1);
    const publicKey = crypto.ecPublicKey(curve, privateKey);
    const signature = crypto.ecSign(curve, "sha-256", privateKey, text("m"));
    const verify = (key: Uint8Array, sig: Uint8Array) => crypto.ecVerify(curve, "sha-256", key, text("m"), sig);
    expect(verify(publicKey, signature)).toBe(true);
    const offCurve = publicKey.slice();
    offCurve[2 * size]! ^= 1;
    const compressed = Uint8Array.of(2 + (publicKey.at(-1)! & 1), ...publicKey.subarray(1, 1 + size));
    for (const key of [offCurve, compressed, publicKey.subarray(1), new Uint8Array(0), new Uint8Array(1 + 2 * size)])
      expect(verify(key, signature)).toBe(false);
    for (const sig of [
      signature.subarray(1),
      new Uint8Array(0),
      new Uint8Array(2 * size),
      new Uint8Array(2 * size).fill(0xff),
      Uint8Array.of(...signature, 0),
    ])
      expect(verify(publicKey, sig)).toBe(false);
  });
});

test.each(CURVES.flatMap((c) => HASHES.map((hash) => ({ ...c, hash }))))(
  "portable signatures of $curve with $hash verify under OpenSSL, a high s included, and agree after a change",
  ({ curve, size, hash }) => {
    let high = 0;
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: size - 1, maxLength: size - 1 }).filter((k) => k.some((b) => b !== 0)),
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(),
        (scalar, message, at) => {
          const privateKey = Uint8Array.of(0, ...scalar); // below every order
          const publicKey = portableCrypto.ecPublicKey(curve, privateKey);
          const ecdh = node.createECDH({ "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" }[curve]);
          ecdh.setPrivateKey(privateKey);
          expect(hex(publicKey)).toBe(hex(ecdh.getPublicKey()));
          expect(hex(nodeCrypto.ecPublicKey(curve, privateKey))).toBe(hex(publicKey));
          const signature = portableCrypto.ecSign(curve, hash, privateKey, message);
          expect(nodeCrypto.ecVerify(curve, hash, publicKey, message, signature)).toBe(true);
          if (size !== 66 && signature[size]! >= 0x80) high++;
          const changed = signature.slice();
          changed[at % changed.length]! ^= 1 << (at % 8);
          expect(nodeCrypto.ecVerify(curve, hash, publicKey, message, changed)).toBe(false);
          expect(portableCrypto.ecVerify(curve, hash, publicKey, message, changed)).toBe(false);
        },
      ),
      { numRuns: 12, seed: 20 },
    );
    if (size !== 66) expect(high).toBeGreaterThan(0);
  },
);
