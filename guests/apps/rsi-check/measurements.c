/* RSI_MEASUREMENT_READ and _EXTEND, compared with this program's own SHA-2. */
#include "lib/realm.h"
#include "lib/sha2.h"
#include "lib/string.h"
#include "table.h"

static uint32_t digest_size(void) { return realm.hash_algorithm == RSI_HASH_SHA_512 ? SHA512_SIZE : SHA256_SIZE; }

/* New value of a REM: H(old digest | data), in a slot of 64 bytes. */
static void extended(const uint8_t old[RSI_MEASUREMENT_SIZE], const uint8_t *data, uint32_t size,
                     uint8_t value[RSI_MEASUREMENT_SIZE]) {
  uint8_t message[2 * RSI_MEASUREMENT_SIZE];
  uint32_t digest = digest_size();
  memcpy(message, old, digest);
  memcpy(message + digest, data, size);
  memset(value, 0, RSI_MEASUREMENT_SIZE);
  (realm.hash_algorithm == RSI_HASH_SHA_512 ? sha512 : sha256)(message, digest + size, value);
}

static bool is_zero(const uint8_t *bytes, uint32_t size) {
  for (uint32_t i = 0; i < size; i++)
    if (bytes[i] != 0) return false;
  return true;
}

static bool reads_as(uint64_t index, const uint8_t expected[RSI_MEASUREMENT_SIZE]) {
  uint8_t value[RSI_MEASUREMENT_SIZE];
  return rsi_measurement_read(index, value) == RSI_SUCCESS && memcmp(value, expected, sizeof value) == 0;
}

static void check_extend(enum row_id row, uint64_t index, const uint8_t *data, uint32_t size, uint32_t times) {
  uint8_t value[RSI_MEASUREMENT_SIZE] = {0}, next[RSI_MEASUREMENT_SIZE];
  uint64_t status = rsi_measurement_read(index, value);
  for (uint32_t i = 0; i < times && status == RSI_SUCCESS; i++) {
    /* All registers filled: the RMM has to stop at `size` bytes. */
    struct rsi_registers r = {{RSI_FID_MEASUREMENT_EXTEND, index, size}};
    memset(&r.x[3], 0xee, RSI_MEASUREMENT_SIZE);
    memcpy(&r.x[3], data, size);
    rsi_smc(&r);
    status = r.x[0];
    extended(value, data, size, next);
    memcpy(value, next, sizeof value);
  }
  check(row, status);
  check(row + 1, reads_as(index, value)); /* the value's row follows the status's */
}

void check_measurements(void) {
  uint8_t rim[RSI_MEASUREMENT_SIZE], rem[RSI_MEASUREMENT_SIZE], data[RSI_MEASUREMENT_SIZE + 1];
  const uint8_t zero[RSI_MEASUREMENT_SIZE] = {0};
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(0x80 + 3 * i);

  check(ROW_READ_RIM, rsi_measurement_read(RSI_MEASUREMENT_RIM, rim));
  check(ROW_READ_RIM_VALUE, !is_zero(rim, digest_size()));
  bool upper_zero = is_zero(rim + digest_size(), sizeof rim - digest_size()), rems_zero = true;
  uint64_t status = RSI_SUCCESS;
  for (uint32_t index = 1; index <= RSI_MEASUREMENT_REMS && status == RSI_SUCCESS; index++) {
    status = rsi_measurement_read(index, rem);
    upper_zero = upper_zero && is_zero(rem + digest_size(), sizeof rem - digest_size());
    rems_zero = rems_zero && is_zero(rem, digest_size());
  }
  check(ROW_READ_UPPER, upper_zero);
  check(ROW_READ_REMS, status);
  check(ROW_READ_REMS_ZERO, rems_zero);
  check(ROW_READ_5, rsi_measurement_read(RSI_MEASUREMENT_REMS + 1, rem));
  check(ROW_READ_MAX, rsi_measurement_read(UINT64_MAX, rem));

  check(ROW_EXTEND_0, rsi_measurement_extend(RSI_MEASUREMENT_RIM, data, 8));
  check(ROW_EXTEND_5, rsi_measurement_extend(RSI_MEASUREMENT_REMS + 1, data, 8));
  check(ROW_EXTEND_MAX, rsi_measurement_extend((1ull << 32) + 1, data, 8));
  check(ROW_EXTEND_65, rsi_measurement_extend(1, data, 65));
  check(ROW_EXTEND_HUGE, rsi_measurement_extend(1, data, 1ull << 32));
  bool unchanged = reads_as(RSI_MEASUREMENT_RIM, rim);
  for (uint32_t index = 1; index <= RSI_MEASUREMENT_REMS; index++) unchanged = unchanged && reads_as(index, zero);
  check(ROW_EXTEND_REFUSED, unchanged);

  check_extend(ROW_EXTEND_1, 1, data, 1, 1);
  check_extend(ROW_EXTEND_64, 2, data, 64, 1);
  check_extend(ROW_EXTEND_EMPTY, 3, data, 0, 1);
  check_extend(ROW_EXTEND_TWICE, 4, data, 33, 2);
  check(ROW_EXTEND_RIM, reads_as(RSI_MEASUREMENT_RIM, rim));
}
