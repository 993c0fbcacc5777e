/*
 * The pre-tokenizer UnicodeScripts: a cut wherever the script changes. Blanks and characters
 * without a script go with what stands before them; Hiragana, Katakana and U+30FC count as Han
 * (tokenizers, pre_tokenizers/unicode_scripts). Written as one expression, a branch per script.
 */
#include "text/tokenizer_json.h"

#include <stdio.h>

/* Scripts of Unicode 14 as PCRE2 names them; Han and its companions have a branch of their own. */
static const char *const scripts[] = {"Latin",
                                      "Common",
                                      "Inherited",
                                      "Cyrillic",
                                      "Greek",
                                      "Arabic",
                                      "Hebrew",
                                      "Hangul",
                                      "Thai",
                                      "Devanagari",
                                      "Adlam",
                                      "Ahom",
                                      "Anatolian_Hieroglyphs",
                                      "Armenian",
                                      "Avestan",
                                      "Balinese",
                                      "Bamum",
                                      "Bassa_Vah",
                                      "Batak",
                                      "Bengali",
                                      "Bhaiksuki",
                                      "Bopomofo",
                                      "Brahmi",
                                      "Braille",
                                      "Buginese",
                                      "Buhid",
                                      "Canadian_Aboriginal",
                                      "Carian",
                                      "Caucasian_Albanian",
                                      "Chakma",
                                      "Cham",
                                      "Cherokee",
                                      "Chorasmian",
                                      "Coptic",
                                      "Cuneiform",
                                      "Cypriot",
                                      "Cypro_Minoan",
                                      "Deseret",
                                      "Dives_Akuru",
                                      "Dogra",
                                      "Duployan",
                                      "Egyptian_Hieroglyphs",
                                      "Elbasan",
                                      "Elymaic",
                                      "Ethiopic",
                                      "Georgian",
                                      "Glagolitic",
                                      "Gothic",
                                      "Grantha",
                                      "Gujarati",
                                      "Gunjala_Gondi",
                                      "Gurmukhi",
                                      "Hanifi_Rohingya",
                                      "Hanunoo",
                                      "Hatran",
                                      "Imperial_Aramaic",
                                      "Inscriptional_Pahlavi",
                                      "Inscriptional_Parthian",
                                      "Javanese",
                                      "Kaithi",
                                      "Kannada",
                                      "Kayah_Li",
                                      "Kharoshthi",
                                      "Khitan_Small_Script",
                                      "Khmer",
                                      "Khojki",
                                      "Khudawadi",
                                      "Lao",
                                      "Lepcha",
                                      "Limbu",
                                      "Linear_A",
                                      "Linear_B",
                                      "Lisu",
                                      "Lycian",
                                      "Lydian",
                                      "Mahajani",
                                      "Makasar",
                                      "Malayalam",
                                      "Mandaic",
                                      "Manichaean",
                                      "Marchen",
                                      "Masaram_Gondi",
                                      "Medefaidrin",
                                      "Meetei_Mayek",
                                      "Mende_Kikakui",
                                      "Meroitic_Cursive",
                                      "Meroitic_Hieroglyphs",
                                      "Miao",
                                      "Modi",
                                      "Mongolian",
                                      "Mro",
                                      "Multani",
                                      "Myanmar",
                                      "Nabataean",
                                      "Nandinagari",
                                      "New_Tai_Lue",
                                      "Newa",
                                      "Nko",
                                      "Nushu",
                                      "Nyiakeng_Puachue_Hmong",
                                      "Ogham",
                                      "Ol_Chiki",
                                      "Old_Hungarian",
                                      "Old_Italic",
                                      "Old_North_Arabian",
                                      "Old_Permic",
                                      "Old_Persian",
                                      "Old_Sogdian",
                                      "Old_South_Arabian",
                                      "Old_Turkic",
                                      "Old_Uyghur",
                                      "Oriya",
                                      "Osage",
                                      "Osmanya",
                                      "Pahawh_Hmong",
                                      "Palmyrene",
                                      "Pau_Cin_Hau",
                                      "Phags_Pa",
                                      "Phoenician",
                                      "Psalter_Pahlavi",
                                      "Rejang",
                                      "Runic",
                                      "Samaritan",
                                      "Saurashtra",
                                      "Sharada",
                                      "Shavian",
                                      "Siddham",
                                      "SignWriting",
                                      "Sinhala",
                                      "Sogdian",
                                      "Sora_Sompeng",
                                      "Soyombo",
                                      "Sundanese",
                                      "Syloti_Nagri",
                                      "Syriac",
                                      "Tagalog",
                                      "Tagbanwa",
                                      "Tai_Le",
                                      "Tai_Tham",
                                      "Tai_Viet",
                                      "Takri",
                                      "Tamil",
                                      "Tangsa",
                                      "Tangut",
                                      "Telugu",
                                      "Thaana",
                                      "Tibetan",
                                      "Tifinagh",
                                      "Tirhuta",
                                      "Toto",
                                      "Ugaritic",
                                      "Vai",
                                      "Vithkuqi",
                                      "Wancho",
                                      "Warang_Citi",
                                      "Yezidi",
                                      "Yi",
                                      "Zanabazar_Square"};

bool hone_is_script(const char *name, size_t n)
{
    static const char *const east[] = {"Han", "Hiragana", "Katakana"};
    for (size_t i = 0; i < sizeof east / sizeof *east; i++)
        if (strlen(east[i]) == n && memcmp(east[i], name, n) == 0)
            return true;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (strlen(scripts[i]) == n && memcmp(scripts[i], name, n) == 0)
            return true;
    return false;
}

#define ANY   "[\\x20\\p{sc:Unknown}]"
#define HAN   "\\p{sc:Han}\\p{sc:Hiragana}\\p{sc:Katakana}\\x{30FC}"
#define NO(x) "(?![\\x20\\x{30FC}])" x /* a blank and the mark U+30FC are Common otherwise */

hone_status hone_json_add_scripts(hone_tokenizer *t, const json_t *o)
{
    (void)o;
    char *pattern = hone_malloc(HONE_EXPRESSION_MAX);
    if (!pattern)
        return hone_fail_memory(HONE_EXPRESSION_MAX, "an expression");
    size_t n = (size_t)snprintf(pattern, HONE_EXPRESSION_MAX, "[" HAN "](?:[" HAN "]|" ANY ")*");
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts && n < HONE_EXPRESSION_MAX; i++)
        n += (size_t)snprintf(pattern + n, HONE_EXPRESSION_MAX - n,
                              "|" NO("\\p{sc:%s}") "(?:" NO("\\p{sc:%s}") "|" ANY ")*", scripts[i],
                              scripts[i]);
    /* What has no script and stands at the start is left out, as there. */
    hone_split_step step = {
        .kind = HONE_SPLIT_EXPRESSION, .behaviour = HONE_SPLIT_REMOVED, .invert = true};
    hone_status s = HONE_OK;
    if (n >= HONE_EXPRESSION_MAX)
        s = hone_fail(HONE_INTERNAL, "the expression of UnicodeScripts is too long");
    if (s == HONE_OK)
        s = hone_expression_compile(pattern, n, "UnicodeScripts", &step.code);
    if (s == HONE_OK)
        s = hone_split_add(t, step);
    hone_free(pattern);
    return s;
}
