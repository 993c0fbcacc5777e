/* compare_formats - one model in many formats, each written, judged, timed and thrown away. Private
 * to `hone compare`; one thread. */
#ifndef HONE_CLI_COMPARE_FORMATS_H
#define HONE_CLI_COMPARE_FORMATS_H

#include "cli/compare_live.h"

/* list: names separated by commas, "standard" or "all". What a format cannot do is a line in
 * page->skipped; --keep FOLDER keeps the files and takes those that are there. */
HONE_CHECKED hone_status compare_formats(compare_live *l, const char *model, const char *list,
                                         const hone_config *config);
/* How many the list has. Errors: USAGE (an unknown name). */
HONE_CHECKED hone_status compare_formats_count(const char *list, size_t *n);

#endif
