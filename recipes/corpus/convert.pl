#!/usr/bin/perl
# convert.pl KIND PACKAGE ROOT FILES [MANDOC] - the documents in an unpacked package as JSON Lines on standard output:
# {"text": ..., "source": "package/path"}. Perl alone (perl-base is enough) and, for manual pages, mandoc.
use strict;
use warnings;

my ($kind, $package, $root, $files, $mandoc) = @ARGV;
die "usage: convert.pl man|html|text|dict|wordnet PACKAGE ROOT FILES [MANDOC]\n" unless defined $files;

my %least = (dict => 60, wordnet => 40);    # characters of a document worth keeping

sub paths {                                 # below a folder, in the order of their names
    my ($dir) = @_;
    opendir my $d, $dir or return;
    my @names = sort grep { $_ ne '.' && $_ ne '..' } readdir $d;
    closedir $d;
    my @all;
    for my $name (@names) {
        my $path = "$dir/$name";
        if (-l $path) { next }              # the same page under another name
        elsif (-d $path) { push @all, paths($path) }
        elsif (-f $path) { push @all, $path }
    }
    return @all;
}

sub slurp {
    my ($path) = @_;
    my $f;
    if ($path =~ /\.(?:gz|dz)$/) { open $f, '-|', 'gzip', '-dc', $path or die "gzip: $!\n" }
    else { open $f, '<', $path or die "$path: $!\n" }
    binmode $f;
    local $/;
    my $text = <$f>;
    close $f or die "$path: cannot be read\n";
    return defined $text ? $text : '';
}

# As characters: UTF-8, or else Latin 1, which any bytes are.
sub characters {
    my ($text) = @_;
    utf8::decode($text);
    return $text;
}

sub quoted {
    my ($s) = @_;
    $s =~ s/(["\\])/\\$1/g;
    $s =~ s/\n/\\n/g;
    $s =~ s/\t/\\t/g;
    utf8::encode($s);
    return "\"$s\"";
}

sub put {
    my ($text, $source) = @_;
    $text =~ s/\r\n?/\n/g;
    $text =~ s/[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{ad}\x{feff}\x{fffe}\x{ffff}]//g;
    $text =~ s/[ \t\x{a0}]+$//mg;
    $text =~ s/\x{a0}/ /g;
    $text =~ s/\n{3,}/\n\n/g;
    $text =~ s/^\n+//;
    $text =~ s/\s+$//;
    return if length $text < ($least{$kind} || 200);
    my $letters = () = $text =~ /[A-Za-z]/g;
    return if $letters < 0.4 * length $text;    # tables, dumps, other scripts
    if (!$least{$kind}) {                       # English has these words
        my $words = () = $text =~ /[A-Za-z]+/g;
        my $known = () = $text =~ /\b(?:the|of|and|to|is|in|a|for)\b/gi;
        return if $known < 0.06 * $words;
    }
    print '{"text": ', quoted($text), ', "source": ', quoted($source), "}\n";
}

# ---- HTML ----

my %entity = (
    amp => '&', lt => '<', gt => '>', quot => '"', apos => "'", nbsp => ' ', copy => '(c)', reg => '(R)',
    mdash => '--', ndash => '-', hellip => '...', lsquo => "'", rsquo => "'", ldquo => '"', rdquo => '"',
    laquo => '"', raquo => '"', bull => '*', middot => '*', times => 'x', rarr => '->', larr => '<-', rArr => '=>',
    le => '<=', ge => '>=', ne => '!=', minus => '-', deg => "\x{b0}", sect => "\x{a7}", para => '', trade => '(TM)',
    eacute => "\x{e9}", egrave => "\x{e8}", ouml => "\x{f6}", uuml => "\x{fc}", auml => "\x{e4}", szlig => "\x{df}",
    shy => '', zwnj => '', thinsp => ' ', ensp => ' ', emsp => ' ', prime => "'", infin => 'infinity', pi => 'pi',
);

sub entity {
    my ($name) = @_;
    return chr $1 if $name =~ /^#(\d{1,6})$/ && $1 < 0x11000 && ($1 < 0xd800 || $1 > 0xdfff);
    return chr hex $1 if $name =~ /^#[xX]([0-9a-fA-F]{1,5})$/ && (hex $1 < 0xd800 || hex $1 > 0xdfff);
    return exists $entity{$name} ? $entity{$name} : '';
}

# What a page is wrapped in: menus, headers, footers, tables of contents.
my $wrapping = qr/\b(?:related|sphinxsidebar\w*|footer\w*|navheader|navfooter|nav|navigation|sidebar\w*|toc|toctree-wrapper|
    breadcrumbs?|menu\w*|headerlink|header-?panel|page-header|path|quickview|bottomlang|toplang|contents|skip\w*|copyright|
    legalnotice|docnav|noprint|search\w*|mw-nav|api_metadata|mark|hidden|node)\b/xi;
my %skipped = map { $_ => 1 } qw(head script style nav header footer svg form select noscript button iframe);
my %alone = map { $_ => 1 } qw(br hr img input meta link area base col wbr source);
my %apart = map { $_ => 1 } qw(p h1 h2 h3 h4 h5 h6 div pre ul ol dl table blockquote section article dt title body main figure);

sub html {
    my ($page) = @_;
    $page =~ s/<!--.*?-->//gs;
    my ($skip, $depth, $pre) = ('', 0, 0);
    # Pieces, and the last characters of what they are together: a long text is never looked at again.
    my ($tail, @out) = ("\n\n");
    my $add = sub { push @out, $_[0]; $tail = substr $tail . $_[0], -4 };
    my $line = sub { $add->("\n") unless $tail =~ /\n\z/ };
    for my $token ($page =~ /<[A-Za-z\/](?:[^>"']|"[^"]*"|'[^']*')*>|<[!?][^>]*>|[^<]+|</g) {
        my ($end, $tag, $attributes) = $token =~ /^<(\/?)([A-Za-z][A-Za-z0-9]*)(.*)>\z/s;
        $tag = defined $tag ? lc $tag : '';
        my $closed = $tag ne '' && $attributes =~ /\/\z/;
        if ($skip ne '') {
            $depth += $end ? -1 : 1 if $tag eq $skip && !$closed;
            $skip = '' if $depth <= 0;
            next;
        }
        if ($tag eq '') {
            next if $token =~ /^<[!?\/]/;
            $token =~ s/&(#?\w+);/entity($1)/ge;
            $token =~ s/\s+/ /g unless $pre;
            $token =~ s/^ // if !$pre && $tail =~ /\s\z/;
            $add->($token) if $token ne '';
            next;
        }
        if (!$end && !$closed && !$alone{$tag}) {
            my $names = join ' ', $attributes =~ /\b(?:class|id|role)\s*=\s*["']?([^"'>]*)/g;
            if ($skipped{$tag} || $names =~ $wrapping && $tag =~ /^(?:div|ul|ol|table|a|span|p|aside|section|dl)$/) {
                ($skip, $depth) = ($tag, 1);
                next;
            }
        }
        if ($tag eq 'pre') { $pre += $end ? -1 : 1 }
        $pre = 0 if $pre < 0;
        if ($tag eq 'br') { $add->("\n") }
        elsif ($tag eq 'li') { $line->(); $add->('* ') unless $end }
        elsif ($tag eq 'dd') { $line->(); $add->('    ') unless $end }
        elsif ($tag eq 'tr') { $line->() }
        elsif ($tag eq 'td' || $tag eq 'th') { $add->('  ') if $end }
        elsif ($apart{$tag} && $tail !~ /(?:\n\n|\* |    )\z/) {
            # (A paragraph right after the mark of a list's item stays on its line.)
            $add->($tail =~ /\n\z/ ? "\n" : "\n\n");
        }
    }
    return join '', @out;
}

# Lines that only lead to other pages, and marks of lists with nothing behind them.
sub trimmed {
    my ($text) = @_;
    $text =~ s/^(?:Next|Previous|Prev|Up): [^\n]*\[(?:Contents|Index)\][^\n]*$//mg;
    $text =~ s/^(?:\[ ?<< ?\]|<-\s*previous|<-previous)[^\n]*$//mgi;
    $text =~ s/^[ \t]*\*[ \t]*\n//mg;
    return $text;
}

# Pages of one package begin and end with the same lines: those that a fifth of them have go.
sub put_pages {
    my @pages = @_;                             # [text, source]
    my %pages_with;
    for my $page (@pages) {
        my %here = map { $_ => 1 } split /\n/, $page->[0];
        $pages_with{$_}++ for keys %here;
    }
    my $common = sub { $_[0] =~ /^\s*$/ || @pages >= 10 && ($pages_with{ $_[0] } || 0) > @pages / 5 };
    for my $page (@pages) {
        my @lines = split /\n/, $page->[0];
        shift @lines while @lines && $common->($lines[0]);
        pop @lines while @lines && $common->($lines[-1]);
        put(join("\n", @lines), $page->[1]);
    }
}

# ---- the kinds ----

my %each = (
    html => sub { trimmed(html(characters(slurp($_[0])))) },
    text => sub { characters(slurp($_[0])) },
    man  => sub {
        my ($path) = @_;
        return '' if slurp($path) =~ /^\.so /m && -s $path < 200;    # only points to another page
        open my $f, '-|', $mandoc, '-T', 'ascii', '-O', 'width=78', $path or die "$mandoc: $!\n";
        local $/;
        my $text = <$f>;
        close $f;                                                     # its remarks on style are no failure
        $text = '' unless defined $text;
        $text =~ s/.\x08//g;                                          # bold and underlined by overstriking
        return $text;
    },
);

# dictd: the index has a line per headword: word, offset, length, in digits of base 64.
sub dict {
    my ($path) = @_;
    my %digit;
    @digit{('A' .. 'Z', 'a' .. 'z', '0' .. '9', '+', '/')} = 0 .. 63;
    my $number = sub { my $v = 0; $v = $v * 64 + $digit{$_} for split //, $_[0]; $v };
    (my $index = $path) =~ s/\.dict\.dz$/.index/;
    my $text = slurp($path);
    my %seen;
    for my $line (split /\n/, slurp($index)) {
        my ($word, $at, $n) = split /\t/, $line;
        next if !defined $n || $word =~ /^00-?database|^00database/ || $seen{$at}++;
        my $entry = characters(substr $text, $number->($at), $number->($n));
        put($entry, "$package/$word");
    }
}

# WordNet: each set of synonyms once, under its first word, with the others of that word.
sub wordnet {
    my ($path) = @_;
    my ($dir) = $path =~ /^(.*)\//;
    my (%senses, @order);
    for my $part (['noun', 'noun'], ['verb', 'verb'], ['adj', 'adjective'], ['adv', 'adverb']) {
        for my $line (split /\n/, slurp("$dir/data.$part->[0]")) {
            next unless $line =~ /^\d{8} \d\d \w ([0-9a-f]{2}) (.*?) \| (.*)$/;
            my ($count, $rest, $gloss) = (hex $1, $2, $3);
            my @field = split / /, $rest;
            my @words = map { (my $w = $field[2 * $_]) =~ tr/_/ /; $w =~ s/\((?:a|p|ip)\)$//; $w } 0 .. $count - 1;
            my $head = shift @words;
            push @order, $head unless $senses{$head};
            $gloss =~ s/\s+$//;
            push @{ $senses{$head} }, "$part->[1]: $gloss" . (@words ? ' (also: ' . join(', ', @words) . ')' : '');
        }
    }
    for my $head (@order) {
        my @all = @{ $senses{$head} };
        my $i = 0;
        put("$head\n\n" . join("\n", @all == 1 ? @all : map { ++$i . ". $_" } @all), "$package/$head");
    }
}

my @found = grep { substr($_, length($root) + 1) =~ /$files/ } paths($root);
die "$package: no file matches $files (does the package hold its documentation?)\n" unless @found;
my @pages;
for my $path (@found) {
    if ($kind eq 'dict') { dict($path) }
    elsif ($kind eq 'wordnet') { wordnet($path) }
    elsif ($each{$kind}) {
        my $page = [$each{$kind}->($path), "$package/" . substr $path, length($root) + 1];
        if ($kind eq 'html') { push @pages, $page }
        else { put(@$page) }
    }
    else { die "no kind is called $kind\n" }
}
put_pages(@pages);
