#!/usr/bin/env bash
# Packages the VS Code extension with the ordinary tool, as docs/editors.md says, and looks into the package. Needs node, npm and the npm
# registry; without node it says so and passes.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "SKIPPED: the VS Code extension was NOT packaged: there is no node or no npm on this machine" >&2
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r grammar/vscode "$work/vscode"
cd "$work/vscode"
rm -rf node_modules ./*.vsix
npm ci --no-audit --no-fund --silent
npm run --silent package
package=$(echo rbpipe-*.vsix)
[ -s "$package" ] || { echo "error: no package was made" >&2; exit 1; }
listing=$(python3 -m zipfile -l "$package")
for file in extension.js language-configuration.json syntaxes/rb2.tmLanguage.json node_modules/vscode-languageclient/package.json; do
  [[ $listing == *"extension/$file "* ]] || { echo "error: $package lacks $file" >&2; exit 1; }
done
echo "packaged $package, $(stat -c %s "$package") bytes"
