#!/bin/sh
# Installs what building and testing need and this machine lacks; does nothing where all is there.
# Usage: scripts/setup.sh build | pkg | test
set -eu
cd "$(dirname "$0")/.."

need=$1

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
        echo "error: installing packages needs root; run as root: $*" >&2
        exit 1
    fi
}

if ! command -v cargo >/dev/null; then
    echo "error: Rust is missing: install it with rustup, then run this again" >&2
    exit 1
fi
if ! command -v cc >/dev/null; then
    packages="gcc libc6-dev"
else
    packages=""
fi

if [ "$need" = test ]; then
    # The Vulkan loader, Mesa's software rasteriser, and SwiftShader, which comes with Chromium.
    [ -n "$(find /usr/lib /usr/lib64 -name 'libvulkan.so.1' 2>/dev/null | head -n 1)" ] || packages="$packages libvulkan1"
    ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 || packages="$packages mesa-vulkan-drivers"
    [ -e /usr/lib/chromium/vk_swiftshader_icd.json ] || packages="$packages chromium"
    command -v firefox-esr >/dev/null || packages="$packages firefox-esr"
    # WebKitGTK, and a screen for it.
    command -v WebKitWebDriver >/dev/null || packages="$packages webkit2gtk-driver"
    command -v Xvfb >/dev/null || packages="$packages xvfb"
fi

if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "error: please install the equivalents of these Debian packages, then run this again:$packages" >&2
        exit 1
    fi
    as_root apt-get update
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
fi

if [ "$need" != build ]; then
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        echo "error: Node.js is missing: install version 20 or later with npm, then run this again" >&2
        exit 1
    fi
    # Also after a change of versions.
    if ! [ pkg/node_modules/.package-lock.json -nt pkg/package-lock.json ]; then
        (cd pkg && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json)
    fi
fi

# The package is built with the standard library's own source.
if [ "$need" != build ] && ! [ -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]; then
    rustup component add rust-src
fi

# Browsers; and for the checks, the systems that nothing here can run.
targets=""
[ "$need" = build ] || targets="wasm32-unknown-unknown"
[ "$need" != test ] || targets="$targets x86_64-pc-windows-msvc aarch64-apple-darwin aarch64-linux-android"
for target in $targets; do
    rustc --print target-libdir --target "$target" 2>/dev/null | xargs -r test -d || rustup target add "$target"
done
