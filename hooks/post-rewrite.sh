#!/bin/sh
# git-ledger: @HOOK@. Written by `ledger init`, removed by `ledger deinit`. Never makes a git command fail.
here=${0%/*}
# @include @CHAIN@

# @include record.sh

# Both readers get the whole list of rewritten commits.
status=0
if [ -x "$chained" ]; then
	list=$(cat)
	printf '%s\n' "$list" | run_chained "$@"
	status=$?
	printf '%s\n' "$list" | record "$@"
else
	record "$@"
fi
exit "$status"
