#!/usr/bin/env bash
# Fetches the playground's third-party files into web/playground/dist.
#
# Run it only to move to another version: edit the pins below, run `web/playground/refresh.sh`, look at the diff, commit.
# It needs npm and a registry, so it is deliberately not part of `go generate`: the repository builds and tests offline
# from what is committed. `TestPlaygroundDist` compares the committed files with dist/SHA256SUMS.
#
# The files are those of the packages, byte for byte; they are compressed at rest (gzip -9, no name, no time), because
# that is also how they are sent. graphiql 3.9.0 is the first 3.x whose UMD build is minified.
set -euo pipefail

# package@version and the registry's sha512 of its tarball (`npm view <package> dist.integrity`)
pins=(
  "react@18.3.1     sha512-wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ=="
  "react-dom@18.3.1 sha512-5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw=="
  "graphiql@3.9.0   sha512-rJYFlHdBbug9+YbFSwRVvgfPjCayC7wHecZkx/qB4XLuQPFQZw/yB9pmHFtOJV6RiNBBHro3u1GdocKa3YcGRA=="
)

# package, path inside the package, name in dist; .js and .css are compressed
files=(
  "react     umd/react.production.min.js         react.production.min.js"
  "react     LICENSE                             LICENSE.react"
  "react-dom umd/react-dom.production.min.js     react-dom.production.min.js"
  "react-dom LICENSE                             LICENSE.react-dom"
  "graphiql  graphiql.min.js                     graphiql.min.js"
  "graphiql  graphiql.min.css                    graphiql.min.css"
  "graphiql  LICENSE                             LICENSE.graphiql"
)

dist="$(cd "$(dirname "$0")" && pwd)/dist"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cd "$work"
for pin in "${pins[@]}"; do
  read -r spec want <<<"$pin"
  tarball="$(npm pack --silent "$spec" | tail -n 1)"
  got="sha512-$(openssl dgst -sha512 -binary "$tarball" | openssl base64 -A)"
  if [ "$got" != "$want" ]; then
    echo "refresh.sh: $spec has $got, pinned is $want" >&2
    exit 1
  fi
  name="${spec%@*}"
  mkdir "$name"
  tar -xzf "$tarball" -C "$name" --strip-components=1
done

rm -rf "$dist"
mkdir -p "$dist"
for file in "${files[@]}"; do
  read -r package path name <<<"$file"
  cp "$package/$path" "$dist/$name"
  chmod 0644 "$dist/$name"
done
cd "$dist"
sha256sum -- * >"$work/SHA256SUMS" # of the plain files, so that another gzip does not change it
mv "$work/SHA256SUMS" SHA256SUMS
gzip -9 -n -- *.js *.css
ls -l
