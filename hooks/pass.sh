#!/bin/sh
# git-ledger: @HOOK@. Written by `ledger init`, removed by `ledger deinit`.
chained=@CHAINED@
[ -x "$chained" ] && [ ! -d "$chained" ] || exit 0
exec "$chained" "$@"
