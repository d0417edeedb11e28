/**
 * The shell scripts of the image: `/init`, which is the first program of the guest, and `/bin/attest`. They run under
 * busybox's shell. Every process that /init starts is time before the prompt, so it uses what the shell itself can do.
 */

/** The first line that anything outside the kernel prints. */
export const USERSPACE_LINE = "realmbox: userspace";

/** The lines around a token that `attest` prints; `verify` and `token --show` look for them (cli/armour.ts). */
export const TOKEN_BEGIN = "-----BEGIN ARM CCA TOKEN-----";
export const TOKEN_END = "-----END ARM CCA TOKEN-----";

export const INIT = `#!/bin/sh
# The first program: mounts what programs expect, loads the modules of the devices that are there, and gives the console to
#   the command of realmbox.run="COMMAND" or of what stands behind -- on the kernel command line,
#   the init of the disk that root= names, when there is one, or
#   a shell. When it ends, the machine is switched off.
export PATH=/bin HOME=/root
echo "${USERSPACE_LINE}"
[ -e /bin/mount ] || /bin/busybox --install -s /bin
mount -a # /etc/fstab

say() { echo "realmbox: $*"; }

# Kernel parameters.
read -r cmdline < /proc/cmdline
root= init= rootfstype= rootflags= mode=ro run=
case " $cmdline " in
  *' realmbox.run="'*) run=\${cmdline#*realmbox.run=\\"} run=\${run%%\\"*} ;;
  *' "realmbox.run='*) run=\${cmdline#*realmbox.run=} run=\${run%%\\"*} ;;
  *' realmbox.run='*) run=\${cmdline#*realmbox.run=} run=\${run%% *} ;;
  *' -- '*) run=\${cmdline#*-- } ;;
esac
set -f
for word in \${cmdline%% -- *}; do
  case $word in
    root=*) root=\${word#root=} ;;
    init=*) init=\${word#init=} ;;
    rootfstype=*) rootfstype=\${word#rootfstype=} ;;
    rootflags=*) rootflags=\${word#rootflags=} ;;
    ro | rw) mode=$word ;;
  esac
done
set +f

# Modules of the devices that are there. Virtio devices appear when their transport's module is in.
load() { # load FILE...: a file holds what a device answers to
  wanted=
  for file; do
    [ -e "$file" ] && read -r alias < "$file" && wanted="$wanted $alias"
  done
  [ -z "$wanted" ] || modprobe -qab $wanted 2> /dev/null
}
load /sys/bus/platform/devices/*/modalias
load /sys/bus/virtio/devices/*/modalias
[ ! -d /sys/kernel/config ] || mount -t configfs -o nosuid,nodev,noexec configfs /sys/kernel/config

if [ -e /sys/bus/platform/devices/arm-cca-dev ]; then echo realm; else echo vm; fi > /proc/sys/kernel/hostname

finish() { # finish poweroff|reboot|halt: with disks unmounted where nobody uses them
  # No read here: in a trap it never ends (busybox 1.38).
  for folder in $(sed -n 's|^/dev/[^ ]* \\([^ ]*\\) .*|\\1|p' /proc/mounts); do umount -r "$folder"; done
  sync
  "$1" -f
  while :; do sleep 1; done
}
# What the busybox commands poweroff, reboot and halt ask of the first program when they go without -f.
trap 'finish poweroff' USR2
trap 'finish reboot' TERM
trap 'finish halt' USR1

# A job of & ignores Ctrl-c for good, and so does all that it starts; a command in the foreground holds the traps up. So
# the session leaves: the second setsid, already a leader, forks.
session() { # session COMMAND...: runs it on the console, in a session of its own; sets status
  mkfifo /run/session
  setsid setsid cttyhack sh -c 'trap : INT; "$@"; echo $? > /run/session' session "$@" < /dev/console
  { read -r status < /run/session; } 2> /dev/null # a signal breaks the opening off, and ends it all
}

if [ -n "$run" ]; then
  session sh -c "$run"
  [ $status = 0 ] || say "'$run' ended with status $status"
  finish poweroff
fi

switch() { # switch DEVICE: continues with the init of a disk; returns when that cannot be
  device=$1
  mkdir -p /newroot
  if ! mount -o "$mode\${rootflags:+,$rootflags}" \${rootfstype:+-t "$rootfstype"} "$device" /newroot 2> /dev/null; then
    say "$device holds no file system that can be mounted here"
    return
  fi
  for candidate in $init /sbin/init /etc/init /bin/init; do
    # An absolute link leads somewhere else from here.
    if [ -x "/newroot$candidate" ] || [ -L "/newroot$candidate" ]; then
      for folder in /dev /proc /sys /run; do
        mkdir -p "/newroot$folder" 2> /dev/null
        mount -o move "$folder" "/newroot$folder" || umount -l "$folder"
      done
      exec switch_root /newroot "$candidate"
    fi
  done
  umount /newroot
  say "$device holds no init; 'mount $device /mnt' shows what it holds"
}
case $root in
  LABEL=* | UUID=*) root=$(findfs "$root" 2> /dev/null) ;;
esac
[ ! -b "$root" ] || switch "$root"

session sh -l
finish poweroff
`;

export const ATTEST = `#!/bin/sh
# attest: this realm's attestation token over a nonce, through Linux' interface for confidential guests
# (Linux, Documentation/ABI/testing/configfs-tsm-report).
usage() {
  echo "usage: attest [-n HEXNONCE] [-o FILE]"
  echo "Prints the token of this realm as text, or writes its bytes to FILE (- is standard output)."
  echo "HEXNONCE: 1 to 64 bytes in hexadecimal, filled up with zeros; without it, 64 random bytes."
}
die() {
  echo "attest: $*" >&2
  exit 1
}
nonce= out=
while getopts n:o:h option; do
  case $option in
    n) nonce=$OPTARG ;;
    o) out=$OPTARG ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# = 0 ] || { usage >&2; exit 2; }

if [ -z "$nonce" ]; then
  nonce=$(head -c 64 /dev/urandom | xxd -p | tr -d '\\n')
fi
nonce=\${nonce#0x}
case $nonce in
  *[!0-9a-fA-F]*) die "the nonce is not hexadecimal" ;;
esac
[ $((\${#nonce} % 2)) = 0 ] && [ \${#nonce} -ge 2 ] && [ \${#nonce} -le 128 ] || die "the nonce has not 1 to 64 whole bytes"
padded=$nonce
while [ \${#padded} -lt 128 ]; do padded=\${padded}00; done

[ -e /sys/bus/platform/devices/arm-cca-dev ] ||
  die "this is not a realm, or its kernel has no realm support (6.13 brought it): there is no arm-cca-dev device"
reports=/sys/kernel/config/tsm/report
[ -d $reports ] || modprobe -a tsm_report arm-cca-guest 2> /dev/null
[ -d $reports ] || mount -t configfs configfs /sys/kernel/config 2> /dev/null
[ -d $reports ] || die "$reports is missing: the modules tsm_report and arm-cca-guest are not loaded"

entry=$reports/attest$$
mkdir $entry 2> /dev/null || die "no provider of reports: the module arm-cca-guest is not loaded (modprobe arm-cca-guest)"
token=/tmp/attest$$
trap 'rmdir $entry; rm -f $token' EXIT
echo $padded | xxd -r -p > $entry/inblob || die "the kernel refused the nonce"
cat $entry/outblob > $token || die "the kernel made no token"
[ -s $token ] || die "the kernel made an empty token"

case $out in
  "")
    echo "challenge: $nonce"
    echo "${TOKEN_BEGIN}"
    base64 $token
    echo "${TOKEN_END}"
    ;;
  -) cat $token ;;
  *) cat $token > "$out" || die "cannot write '$out'" ;;
esac
`;

/** Mounted in this order by /init. */
export const FSTAB = `proc     /proc proc     nosuid,nodev,noexec 0 0
sysfs    /sys  sysfs    nosuid,nodev,noexec 0 0
devtmpfs /dev  devtmpfs nosuid              0 0
tmpfs    /run  tmpfs    nosuid,nodev        0 0
tmpfs    /tmp  tmpfs    nosuid,nodev        0 0
`;

/** What `mount` tries without -t; the kernel loads the module of a type that is asked for by name. */
export const FILESYSTEMS = "ext4\n";

/** What a login shell reads. */
export const PROFILE = `export PATH=/bin:/sbin:/usr/bin:/usr/sbin
PS1='\\h:\\w\\$ '
cd
`;
