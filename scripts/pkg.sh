#!/bin/sh
# Builds the npm package into target/npm/package, ready for `npm pack`: the wasm with and without relaxed vectors, their bindings, the
# TypeScript front, the reader of torch.save files, the decoder of pictures, the models.
set -eu
cd "$(dirname "$0")/.."

bindings=target/npm/bindings
relaxed=target/npm/relaxed
package=target/npm/package

# Places in the source are named in messages; where that lies on this machine is nobody's business.
remap="--remap-path-prefix=$PWD= --remap-path-prefix=$(rustc --print sysroot)="
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    remap="$remap --remap-path-prefix=$sources="
done
# A panic only stops the module, as nobody would see its message, and the standard library is built for size along with the rest:
# a twentieth of the download. Neither is stable yet, hence the variable, which makes the stable compiler take what is not.
CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128 -Z unstable-options -C panic=immediate-abort $remap"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS

build() {
    RUSTC_BOOTSTRAP=1 cargo build --quiet --target wasm32-unknown-unknown --lib --profile wasm \
        -Z build-std=std,panic_abort -Z build-std-features=optimize_for_size "$@"
}

# The module and its bindings, in a folder.
module() {
    build --no-default-features --features gpu,cpu
    mkdir -p "$1"
    cargo run --quiet --release -p xtask -- target/wasm32-unknown-unknown/wasm/webmamba.wasm "$1"
}

features="--enable-simd --enable-reference-types --enable-bulk-memory --enable-multivalue --enable-nontrapping-float-to-int --enable-sign-ext
    --enable-mutable-globals"

# Below the first kilobyte there is only the end of the stack, so addresses may be folded into loads. Functions that are
# inlined into their only caller make the module smaller by 1 %, and what is downloaded larger by 6 %.
# Functions that look alike come to lie side by side, where compression finds them.
shrink() {
    from=$1 to=$2
    shift 2
    # shellcheck disable=SC2086 # a list of words
    pkg/node_modules/.bin/wasm-opt -Oz --converge --low-memory-unused --one-caller-inline-max-function-size=30 $features "$@" "$from" -o "$to"
    node scripts/alike.mjs "$to" "$to"
    # shellcheck disable=SC2086
    pkg/node_modules/.bin/wasm-opt --reorder-functions-by-name --strip-debug $features "$@" "$to" -o "$to"
}

rm -rf $bindings $relaxed $package
mkdir -p $package/dist/models
module $bindings
# Only this repository's crates are compiled again.
RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/relaxed-rustc.sh" module $relaxed
cmp $bindings/webmamba.js $relaxed/webmamba.js # One file of bindings serves both modules.

shrink $bindings/webmamba_bg.wasm $package/dist/webmamba_bg.wasm
shrink $relaxed/webmamba_bg.wasm $package/dist/webmamba_relaxed_bg.wasm --enable-relaxed-simd
node scripts/short-names.mjs $bindings/webmamba.js $package/dist/webmamba_bg.wasm $package/dist/webmamba_relaxed_bg.wasm

# What reads files of torch.save, without what bindings would call.
build --no-default-features --features torch
graph=target/npm/torch.json
node scripts/exported.mjs torch_file torch_grow torch_read >$graph
# shellcheck disable=SC2086 # a list of words
pkg/node_modules/.bin/wasm-metadce $features target/wasm32-unknown-unknown/wasm/webmamba.wasm --graph-file $graph -o target/npm/torch.wasm >/dev/null
# shellcheck disable=SC2086
pkg/node_modules/.bin/wasm-opt -Oz --converge $features --strip-debug --strip-producers target/npm/torch.wasm -o $package/dist/webmamba_torch.wasm

# What decodes pictures outside of browsers, made for speed.
build -p webmamba-pictures
# shellcheck disable=SC2086 # a list of words
pkg/node_modules/.bin/wasm-opt -O3 $features --strip-debug --strip-producers target/wasm32-unknown-unknown/wasm/webmamba_pictures.wasm \
    -o $package/dist/webmamba_pictures.wasm

node scripts/labels.mjs src/labels/imagenet1k.txt $bindings/labels
node scripts/configs.mjs models $bindings
node scripts/front.mjs $bindings $package/dist
cp -r $bindings/labels $package/dist/
cp -r pkg/bin $package/
cp pkg/package.json pkg/README.md LICENSE-MIT LICENSE-APACHE $package/
for model in models/*/; do
    mkdir "$package/dist/$model"
    cp "$model/config.json" "$model/model.safetensors" "$model/README.md" "$package/dist/$model"
done
