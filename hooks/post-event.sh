#!/bin/sh
# git-ledger: @HOOK@. Written by `ledger init`, removed by `ledger deinit`. Never makes a git command fail.
here=${0%/*}
# @include @CHAIN@

# @include record.sh

run_chained "$@"
status=$?
record "$@"
exit "$status"
