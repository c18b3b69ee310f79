#!/bin/sh
# Puts the demo page together: the page, the package that scripts/pkg.sh built, the sample photographs, the
# addresses that are known, and the list of all that for visits without a network.
# Usage: scripts/demo.sh [FOLDER], by default target/web
set -eu
cd "$(dirname "$0")/.."
web=${1:-target/web}

rm -rf "$web"
mkdir -p "$web/samples"
cp -r www/. "$web/"
cp -r target/npm/package/dist "$web/webmamba"
cp tests/images/chelsea.png tests/images/coffee.png tests/images/astronaut.png "$web/samples/"
node scripts/addresses.mjs "$web"
node scripts/offline.mjs "$web"
