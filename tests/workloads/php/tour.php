<?php
// The tour's server in PHP: each answer by one script, for the built-in server and for PHP-FPM alike.
// `/ask/PORT` asks the server at that port of this host for /hello, and answers what it was told.

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

function fixed(int $status, string $body): void
{
    http_response_code($status);
    header('Content-Type: text/plain');
    header('Content-Length: ' . strlen($body));
    echo $body;
}

if (str_starts_with($path, '/ask/')) {
    fixed(200, file_get_contents('http://127.0.0.1:' . (int) substr($path, 5) . '/hello'));
    return;
}
switch ($path) {
    case '/hello':
        fixed(200, "hello\n");
        break;
    case '/big':
        fixed(200, str_repeat('0123456789abcdef', 65536));
        break;
    case '/echo':
        fixed(200, file_get_contents('php://input'));
        break;
    case '/chunked':
        // In pieces, whose sum the head does not tell.
        foreach (['one, ', 'two, ', "three\n"] as $piece) {
            echo $piece;
            flush();
        }
        break;
    case '/empty':
        http_response_code(204);
        break;
    case '/cached':
        http_response_code(304);
        break;
    case '/fail':
        fixed(500, "failed\n");
        break;
    default:
        fixed(404, "missing\n");
}
