# The tour's client on HTTP::Tiny, which every Perl comes with: all requests on one connection.
# Usage: tour_client.pl HOST PORT METHOD:PATH[:BODY_LENGTH]...
# Prints for each: method, path, status, body length, SHA-256 of the body.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use HTTP::Tiny;

my ($host, $port, @requests) = @ARGV;
my $client = HTTP::Tiny->new(agent => 'tour/1');
for (@requests) {
    my ($method, $path, $length) = split /:/;
    my %options;
    $options{content} = substr '0123456789' x $length, 0, $length if $length;
    my $answer  = $client->request($method, "http://$host:$port$path", \%options);
    my $content = $answer->{content} // '';
    print join(' ', $method, $path, $answer->{status}, length $content, sha256_hex($content)), "\n";
}
