# The commit trailer `Ledger-Entry: <log>/<seq>/<hash>`, in pure shell: starting Python here would be felt in every commit.
ledger=@LEDGER@
head=$ledger/head-@UID@
comment=''

# Reads the head file into $entry and $log. Whoever can write the repository can write that file, so nothing is quoted that
# is not exactly one line of 32 hex digits, a number and 64 hex digits.
read_head() {
	[ -f "$head" ] && [ ! -L "$head" ] && [ ! -e "$ledger/no-trailer" ] || return 1
	entry='' more=''
	{ IFS= read -r entry && ! IFS= read -r more && [ -z "$more" ]; } 2>/dev/null <"$head" || return 1
	case $entry in
	*[!0123456789abcdef/]* | */*/*/*) return 1 ;;
	esac
	log=${entry%%/*} hash=${entry##*/} seq=${entry#*/}
	seq=${seq%/*}
	case $seq in
	'' | *[!0123456789]* | 0?*) return 1 ;;
	esac
	[ ${#log} -eq 32 ] && [ ${#hash} -eq 64 ] && [ ${#seq} -le 16 ]
}

# Looks at the message in file $1, up to a scissors line, without lines that start with $comment. False if it bears a
# trailer of this log already. Else sets
#   last    number of the last line that says something, 0 if none does
#   lines   number of lines
#   torn    not empty where the last line has no newline
#   sure    not empty where a line starts with a letter or digit, so that it is no comment under any setting
#   joins   not empty where the last paragraph is made of trailers
scan() {
	last=0 lines=0 torn='' sure='' joins='' paragraph=0 blank=1 trailers=0 others=0 known=0
	while IFS= read -r line || { [ -n "$line" ] && torn=1; }; do
		lines=$((lines + 1))
		case $line in
		"Ledger-Entry: $log/"*) return 1 ;;
		*' ------------------------ >8 ------------------------') break ;;
		esac
		if [ -n "$comment" ]; then
			case $line in
			"$comment"*) continue ;;
			esac
		fi
		case $line in
		*[![:space:]]*) ;;
		*)
			blank=1
			continue
			;;
		esac
		last=$lines
		if [ "$blank" ]; then
			blank='' paragraph=$((paragraph + 1)) trailers=0 others=0 known=0
		fi
		case $line in
		[[:alnum:]]*) sure=1 ;;
		esac
		case $line in
		'Signed-off-by: '* | '(cherry picked from commit '*) trailers=$((trailers + 1)) known=1 ;;
		[[:space:]]*) ;;
		*:*)
			case ${line%%:*} in
			'' | *[![:alnum:]-]*) others=$((others + 1)) ;;
			*) trailers=$((trailers + 1)) ;;
			esac
			;;
		*) others=$((others + 1)) ;;
		esac
	done <"$1"
	# git's own rule for what is a block of trailers (git-interpret-trailers(1)).
	if [ "$paragraph" -gt 1 ] && [ "$trailers" -gt 0 ]; then
		[ "$others" -gt 0 ] && { [ "$known" -eq 0 ] || [ $((trailers * 3)) -lt "$others" ]; } || joins=1
	fi
	return 0
}

# Sets $comment for the message in file $1 as git is set up here.
read_comment_settings() {
	mark='#' keep=''
	while read -r name value; do
		case $name in
		core.commentchar | core.commentstring) mark=$value ;;
		commit.cleanup) keep=$value ;;
		esac
	done <<-EOF
		$(git config --get-regexp '^(core\.comment(char|string)|commit\.cleanup)$' 2>/dev/null)
	EOF
	if [ "$mark" = auto ]; then
		# git chose a character that starts no line of the message; its advice, at the end, shows which.
		mark='#'
		while IFS= read -r line; do
			case $line in
			[\#\;@!\$%^\&\|:]*) mark=${line%"${line#?}"} ;;
			esac
			case $line in
			?' ------------------------ >8 ------------------------'*) break ;;
			esac
		done <"$1"
	fi
	case $keep in
	scissors | whitespace | verbatim) comment='' ;;
	*) comment=$mark ;;
	esac
}

# Adds the trailer behind line $last of file $1. Appends where it can, so that a crash never costs the message.
add_trailer() {
	gap=1
	[ -z "$joins" ] || gap=''
	if [ "$last" -eq "$lines" ]; then
		[ -z "$torn" ] || echo >>"$1"
		printf '%sLedger-Entry: %s\n' "${gap:+
}" "$entry" >>"$1"
		return 0
	fi
	aside=$1.ledger-$$
	rm -f "$aside"
	(
		set -C # never through a link that somebody laid there
		awk -v last="$last" -v gap="$gap" -v trailer="Ledger-Entry: $entry" '
			{ print }
			NR == last { if (gap) print ""; print trailer }
		' <"$1" >"$aside"
	) && mv -f "$aside" "$1"
	return 0
}
