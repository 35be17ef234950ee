# The hook of the folder that git would use without us. It runs first, with the same arguments and input, and its exit
# status counts.
chained=@CHAINED@

run_chained() {
	[ -x "$chained" ] && [ ! -d "$chained" ] || return 0
	"$chained" "$@"
}
