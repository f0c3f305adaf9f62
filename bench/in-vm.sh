#!/bin/sh
# Runs a command of this repository in a virtual machine, as its root: for what the machine at hand
# forbids, such as 50,000 descriptors in one process.
#
#   apt-get install --no-install-recommends qemu-system-x86 busybox-static
#   npm run build
#   bench/in-vm.sh node bench/cost/main.ts idle --no-stalls
#
# The processor is qemu's software emulation: it needs no right and no hardware, and is slow: beside
# other work on two CPUs Holdfast took a minute to start and 60 connections a second were opened.
# So sizes and counts mean something in there, times do not. The guest has
# Debian's kernel (downloaded, not installed; LINUX_IMAGE=<file.deb> names one that is here) and sees
# the host's files, read-only; what it writes to /tmp and /run is in its own memory. The exit code
# is the command's.
set -eu

MODULES="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
  netfs fscache 9pnet 9pnet_virtio 9p"
MEMORY=${VM_MEMORY:-6G}

if [ $# -eq 0 ]; then
  echo "Usage: bench/in-vm.sh <command> [arguments]" >&2
  exit 64
fi
for program in qemu-system-x86_64 busybox; do
  command -v "$program" >/dev/null && continue
  echo "no $program: apt-get install --no-install-recommends qemu-system-x86 busybox-static" >&2
  exit 69
done

repository=$(cd "$(dirname "$0")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Kernel
if [ -z "${LINUX_IMAGE:-}" ]; then
  package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
  (cd "$work" && apt-get download -q "$package")
  LINUX_IMAGE=$(echo "$work"/linux-image-*.deb)
fi
dpkg-deb -x "$LINUX_IMAGE" "$work/kernel"

# Its first file system: busybox, the modules that reach the host's files, and what to do
root=$work/root
mkdir -p "$root/bin" "$root/lib" "$root/dev" "$root/proc" "$root/host" "$root/repository"
cp "$(command -v busybox)" "$root/bin/busybox"
for module in $MODULES; do
  file=$(find "$work/kernel" -name "$module.ko*")
  if [ -n "$file" ]; then cp "$file" "$root/lib/"; fi # else it is built in
done
echo "$repository" >"$root/where"
for argument; do
  printf "'%s' " "$(printf %s "$argument" | sed "s/'/'\\\\''/g")"
done >"$root/what"

cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox --install /bin
where=\$(cat /where)
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
for module in $(echo $MODULES); do
  for file in /lib/\$module.ko*; do if [ -e "\$file" ]; then insmod "\$file"; fi; done
done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
mount --bind "/host\$where" /repository
mount -t tmpfs tmpfs /host/tmp
mount -t tmpfs tmpfs /host/run
mount -t proc proc /host/proc
mount -t sysfs sysfs /host/sys
mount -t devtmpfs devtmpfs /host/dev
mkdir -p /host/dev/shm
mount -t tmpfs tmpfs /host/dev/shm
mkdir -p "/host\$where" && mount --bind /repository "/host\$where"
ifconfig lo up
export HOME=/tmp PATH="\$where/node_modules/.bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
chroot /host sh -c "cd '\$where' && \$(cat /what)" </dev/null
echo \$? >/dev/ttyS1
reboot -f
END
chmod 755 "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initramfs"

qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m "$MEMORY" \
  -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable" \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
  -nodefaults -no-reboot -display none -serial stdio -serial "file:$work/status" </dev/null &
qemu=$!
trap 'kill "$qemu"; exit 130' INT TERM
wait "$qemu"

status=$(tr -dc 0-9 <"$work/status")
exit "${status:-70}"
