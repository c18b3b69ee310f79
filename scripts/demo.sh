#!/bin/sh
# Puts the demo page together in target/web: the page, the package that scripts/pkg.sh built, and the sample photographs.
set -eu
cd "$(dirname "$0")/.."

rm -rf target/web
mkdir -p target/web/samples
cp -r www/. target/web/
cp -r target/npm/package/dist target/web/webmamba
cp tests/images/chelsea.png tests/images/coffee.png tests/images/astronaut.png target/web/samples/
