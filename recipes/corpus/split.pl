#!/usr/bin/perl
# split.pl OUT PACKAGE... - reads OUT/text/PACKAGE.jsonl, leaves out texts that were there before, and writes
# OUT/train.jsonl and OUT/validation.jsonl (1 of 100, by a hash of the text), and OUT/counts.tsv: package, documents, bytes of text
# and duplicates of each. Texts are the same if they are but for white space.
use strict;
use warnings;

my ($out, @packages) = @ARGV;
my %seen;

# Text as hone data hashes it is XXH3; this one needs no module: words of 32 bits, folded one after the other.
sub hash32 {
    my ($text) = @_;
    my $h = length $text;
    $h = (($h ^ $_) * 0x9E3779B1 & 0xffffffff) ^ ($h >> 15) for unpack 'N*', $text . "\0\0\0";
    $h = ($h ^ $h >> 16) * 0x85EBCA6B & 0xffffffff;
    return $h ^ $h >> 13;
}

my %file;
for my $part (qw(train validation)) {
    open $file{$part}, '>', "$out/$part.jsonl.tmp" or die "$out/$part.jsonl: $!\n";
}
open my $counts, '>', "$out/counts.tsv" or die "$out/counts.tsv: $!\n";
for my $package (@packages) {
    open my $in, '<', "$out/text/$package.jsonl" or die "$out/text/$package.jsonl: $!\n";
    my ($documents, $bytes, $again) = (0, 0, 0);
    while (my $line = <$in>) {
        my ($text) = $line =~ /^\{"text": "(.*)", "source": "/ or die "$package: line $.: not what convert.pl writes\n";
        (my $plain = $text) =~ s/(?:\\[nt]|\s)+/ /g;
        my $key = pack 'NN', hash32($plain), hash32(scalar reverse $plain);
        if ($seen{$key}++) { $again++; next }
        my $part = hash32($plain) % 100 == 0 ? 'validation' : 'train';
        print { $file{$part} } $line or die "$out/$part.jsonl: $!\n";
        $documents++;
        $text =~ s/\\(.)/$1/g;
        $bytes += length $text;
    }
    print $counts join("\t", $package, $documents, $bytes, $again), "\n";
}
for my $part (qw(train validation)) {
    close $file{$part} or die "$out/$part.jsonl: $!\n";
    rename "$out/$part.jsonl.tmp", "$out/$part.jsonl" or die "$out/$part.jsonl: $!\n";
}
close $counts or die "$out/counts.tsv: $!\n";
