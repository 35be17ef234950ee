#!/bin/sh
# git-ledger: @HOOK@. Written by `ledger init`, removed by `ledger deinit`. Never makes a git command fail.
here=${0%/*}
# @include @CHAIN@

# @include trailer.sh

run_chained "$@" || exit

if [ -e "$1.ledger-template" ]; then
	template=$(git stripspace -s <"$1.ledger-template")
	rm -f "$1.ledger-template"
	[ "$(git stripspace -s <"$1")" != "$template" ] || exit 0
fi

read_head || exit 0
# The usual case needs no child process: prepare-commit-msg has added the trailer.
[ "$GIT_EDITOR" != : ] || scan "$1" || exit 0
read_comment_settings "$1"
scan "$1" && [ "$last" -gt 0 ] && add_trailer "$1"
exit 0
