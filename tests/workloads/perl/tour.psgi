# The tour's server on PSGI.
use strict;
use warnings;
use Plack::Middleware::Head;

my $big = '0123456789abcdef' x 65536;

sub fixed {
    my ($status, $body) = @_;
    return [$status, ['Content-Length' => length $body], [$body]];
}

my $tour = sub {
    my $request = shift;
    my $path    = $request->{PATH_INFO};
    return fixed(200, "hello\n") if $path eq '/hello';
    return fixed(200, $big)      if $path eq '/big';
    return fixed(500, "failed\n") if $path eq '/fail';
    return [204, [], []] if $path eq '/empty';
    return [304, [], []] if $path eq '/cached';
    if ($path eq '/echo') {
        $request->{'psgi.input'}->read(my $body, $request->{CONTENT_LENGTH});
        return fixed(200, $body);
    }
    if ($path eq '/chunked') {
        return sub {
            my $writer = shift->([200, []]);
            $writer->write($_) for 'one, ', 'two, ', "three\n";
            $writer->close;
        };
    }
    return fixed(404, "missing\n");
};

# What answers GET answers HEAD, without its body.
Plack::Middleware::Head->wrap($tour);
