#!/bin/sh
# git-ledger: @HOOK@. Written by `ledger init`, removed by `ledger deinit`. Never makes a git command fail.
here=${0%/*}
# @include @CHAIN@

# Both readers get the whole list of pushed refs.
list=$(cat)
printf '%s\n' "$list" | run_chained "$@" || exit

# Seals, and exchanges sealed logs with the remote that is being pushed to, as `ledger.push` says.
python=@PYTHON@
if [ -x "$python" ]; then
	printf '%s\n' "$list" | "$python" -I -m ledger --state @STATE@ sync --at-push -- "$1" >&2
else
	echo "git-ledger: logs not pushed, for $python is gone; run \`ledger init\` again" >&2
fi
exit 0
