# The hook that was here before. It runs first, with the same arguments and input, and its exit status counts.
chained=@CHAINED@

run_chained() {
	[ -x "$chained" ] && [ ! -d "$chained" ] || return 0
	# Some hook managers ask $0 for the hook's name, and the file was renamed: a shell script is told its old name.
	first=
	IFS= read -r first <"$chained"
	case $first in
	'#!'*[/\ ]sh | '#!'*[/\ ]bash | '#!'*[/\ ]dash | '#!'*[/\ ]sh\ -[a-z]* | '#!'*[/\ ]bash\ -[a-z]* | '#!'*[/\ ]dash\ -[a-z]*)
		(
			set -f
			exec ${first#??} -c 'ledger_chained=$1; shift; . "$ledger_chained"' "$here/@HOOK@" "$chained" "$@"
		)
		;;
	*) "$chained" "$@" ;;
	esac
}
