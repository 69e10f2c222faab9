"""Load generator: PHP processes in which every request is a new client that connects, selects and leaves.

Run as `python -m bench.mysql.visits`; the result is one line of JSON. A latency runs from before the connect to after
the close. PHP, because its programs are those that connect per request; mysqli, as Debian has it.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter

from bench import generator
from bench.mysql.wire import DATABASE
from bench.process import BenchError, last_words

VISIT = """
[, $host, $port, $user, $password, $database, $ca, $count] = $argv;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$took = $errors = [];
fgets(STDIN);  // until all of us are here
$began = hrtime(true);
for ($i = 0; $i < $count; $i++) {
    $since = hrtime(true);
    try {
        $client = mysqli_init();
        if ($ca) $client->ssl_set(null, null, $ca, null, null);
        $client->real_connect($host, $user, $password, $database, (int)$port, null, $ca ? MYSQLI_CLIENT_SSL : 0);
        $client->query("SELECT 1")->fetch_row();
        $client->close();
        $took[] = hrtime(true) - $since;
    } catch (mysqli_sql_exception $problem) {
        $errors[$problem->getMessage()] = ($errors[$problem->getMessage()] ?? 0) + 1;
    }
}
echo json_encode(["began" => $began, "ended" => hrtime(true), "took" => $took, "errors" => (object)$errors]);
"""


def main() -> None:
    """Start the visitors, let them go all at once, and add up what they say."""
    words = generator.options("bench.mysql.visits").parse_args()
    where = [words.host, str(words.port), words.user or "", words.password or "", DATABASE, words.cacert or ""]
    line = ["php", "-r", VISIT, "--", *where, str(words.requests // words.clients)]
    pipe = subprocess.PIPE
    visitors = [subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(words.clients)]
    for visitor in visitors:
        assert visitor.stdin is not None
        visitor.stdin.write("go\n")
        visitor.stdin.flush()
    said = []
    for visitor in visitors:
        text, problems = visitor.communicate()
        if visitor.returncode != 0:
            raise BenchError(f"php ended with {visitor.returncode}: {last_words(text + problems)}")
        said.append(json.loads(text))
    seconds = (max(one["ended"] for one in said) - min(one["began"] for one in said)) / 1e9
    errors: Counter[str] = Counter()
    for one in said:
        errors.update(one["errors"])
    print(json.dumps(generator.told([took / 1e9 for one in said for took in one["took"]], seconds, errors)))


if __name__ == "__main__":
    main()
