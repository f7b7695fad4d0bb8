#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# manual.sh README VERSION: prints the manual page. It is README's chapters for operators, so that neither can say what the other does not.
set -eu
{
	printf '# NAME\n\nmod-secondary - secondary zones that knotd keeps in memory\n\n# DESCRIPTION\n'
	# Less the title, the commands of the checkout, how to install and how to develop; links within the page say no more than their words.
	awk '/^```/ { code = !code }
	     !code && /^## / { name = substr($0, 4) }
	     NR == 1 || name == "Installing" || name == "Quick start" || name == "Developing" || name == "Performance" { next }
	     !seen && /^```/ { skip = !skip; if (!skip) seen = 1; next }
	     skip { next }
	     !code && /^## / { $0 = "# " toupper(name) }
	     { print }' "$1" | sed -E 's/\[([^]]*)\]\(#[a-z-]*\)/\1/g'
} | lowdown -s -tman -mtitle=MOD-SECONDARY -msection=7 -msource="mod-secondary $2" -
