#!/bin/sh
# git-ledger: @HOOK@. Written by `ledger init`, removed by `ledger deinit`. Never makes a git command fail.
here=${0%/*}
# @include @CHAIN@

# @include trailer.sh

run_chained "$@" || exit

# git refuses a template that nobody edited. commit-msg cannot see what the template was, so it is kept for it.
if [ "$2" = template ]; then
	rm -f "$1.ledger-template"
	(
		set -C # never through a link that somebody laid there
		cat <"$1" >"$1.ledger-template"
	)
	exit 0
fi

# GIT_EDITOR is `:` where no editor will open (githooks(5)); where one does, commit-msg adds the trailer, or git's abort on
# an empty message would be defeated. So it does where another commit-msg hook is to see the message first.
[ "$GIT_EDITOR" = : ] && [ ! -x @CHAINED_COMMIT_MSG@ ] || exit 0
case $2 in
message | merge | squash | commit) ;;
*) exit 0 ;;
esac

read_head && scan "$1" && [ "$last" -gt 0 ] || exit 0
if [ -z "$sure" ]; then
	# A single line such as `#12 mend it` is a message, unless comments are to be stripped from it. More such lines may be
	# git's own advice: commit-msg knows better.
	[ "$last" -eq 1 ] || exit 0
	[ "$(git config commit.cleanup 2>/dev/null)" != strip ] || exit 0
fi
add_trailer "$1"
exit 0
