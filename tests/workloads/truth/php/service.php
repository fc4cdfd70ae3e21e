<?php
// A truth service in PHP's built-in server, whose worker processes serve one request at a time. See tests/src/truth/services.rs
// for what it does; a timer, and work that outlives its answer, it cannot have, and it keeps no connections.
// `TRUTH` holds what is the command line elsewhere: SERVICE PORT [NEXT…].

$next = array_slice(explode(' ', getenv('TRUTH')), 2);

function ask(string $port, string $path): bool
{
    return @file_get_contents("http://127.0.0.1:$port$path") === "ok\n";
}

function work(string $id, array $next): bool
{
    $kind = array_sum(unpack('C*', $id)) % 8;
    if ($kind === 1) {
        usleep(2000);
    }
    $well = true;
    foreach ($next as $at => $port) {
        $well = ask($port, "/call/$id.$at") && $well;
        if ($kind === 3) {
            usleep(1000);
        }
    }
    return $well;
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$well = !str_starts_with($path, '/call/') || work(substr($path, strlen('/call/')), $next);
http_response_code($well ? 200 : 502);
header('Content-Length: 3');
echo $well ? "ok\n" : "no\n";
