# make run     classifies the sample photographs
# make test    passes all tests: CPU, lavapipe and SwiftShader (and a hardware GPU where there is one)
# make test-runtimes   tries the npm package in Node 22, Deno, Bun, other bundlers, Next.js, React and versions of TypeScript
# make pkg     builds the npm package: target/npm/webmamba-*.tgz
# make web     builds the demo page and serves it on localhost
# make bench   times the heaviest operators and whole models on every device
# Each installs what a fresh Debian machine lacks.

# Mesa otherwise complains about a missing Wayland session whenever adapters are listed.
export NODEVICE_SELECT = 1
# SwiftShader comes with Chromium and is no system-wide Vulkan driver.
export VK_ADD_DRIVER_FILES ?= /usr/lib/chromium/vk_swiftshader_icd.json

CARGO_TEST = cargo test -p webmamba -p webmamba-kernels -p webmamba-pictures --profile checked --no-fail-fast
WEBMAMBA = target/release/webmamba
OTHER_TARGETS = x86_64-pc-windows-msvc aarch64-apple-darwin aarch64-linux-android

.PHONY: run test lint bench build setup pkg web test-browser test-runtimes

build:
	@scripts/setup.sh build
	cargo build --release

run: build
	$(WEBMAMBA) classify tests/images/chelsea.png tests/images/coffee.png tests/images/astronaut.png tests/images/rocket.jpg

setup:
	@scripts/setup.sh test

test: lint
	$(CARGO_TEST)
	@$(MAKE) --no-print-directory test-browser

# The packed npm package and the demo page in a real browser; the shader test leaves the kernels for it.
test-browser: setup
	cargo test --profile checked --test shaders
	@scripts/pkg.sh
	@scripts/demo.sh
	cd tests/browser && npm ci --no-audit --no-fund && npm test

# The same package in other programs and bundlers, and its declarations in other versions of TypeScript: large downloads, minutes.
test-runtimes: setup
	@scripts/pkg.sh
	cd tests/browser && npm ci --no-audit --no-fund
	cd tests/runtimes && npm ci --no-audit --no-fund && npm test

pkg:
	@scripts/setup.sh pkg
	@scripts/pkg.sh
	cd target/npm && npm pack --silent ./package

web:
	@scripts/setup.sh pkg
	@scripts/pkg.sh
	@scripts/demo.sh
	node scripts/serve.mjs target/web

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --profile checked --all-targets -- -D warnings
	@# Browsers have one thread and no files: there an Arc crosses no threads, and dropping a file does nothing.
	for features in gpu,cpu torch; do \
		cargo clippy --target wasm32-unknown-unknown --lib --no-default-features --features "$$features" --profile wasm -- \
			-D warnings -A clippy::arc_with_non_send_sync -A clippy::drop_non_drop || exit 1; \
	done
	@# Programs that go without a device, or without some readers.
	for features in cpu,image gpu,torch; do \
		cargo clippy --profile checked --lib --no-default-features --features "$$features" -- -D warnings || exit 1; \
	done
	RUSTDOCFLAGS="-D warnings" cargo doc -p webmamba -p webmamba-kernels -p webmamba-pictures --profile checked --no-deps
	@# The systems that nothing here can run: everything must at least be well typed for them.
	cargo check --profile checked $(OTHER_TARGETS:%=--target %)

bench: setup build
	cargo bench --bench ops
	for arch in mamba_vision_t mila_t; do \
		$(WEBMAMBA) bench --synthetic --arch $$arch --device cpu && \
		$(WEBMAMBA) bench --synthetic --arch $$arch --adapter llvmpipe --iters 5 || exit 1; \
	done
