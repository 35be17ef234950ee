# Hands the event to the recorder. `-I`: nothing in the repository may become part of it.
python=@PYTHON@

record() {
	if [ -x "$python" ]; then
		"$python" -I -m ledger.hook --state @STATE@ git @HOOK@ "$@"
	else
		echo "git-ledger: not recorded, for $python is gone; run \`ledger init\` again" >&2
	fi
}
