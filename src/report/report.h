/*
 * report - what a run of the optimiser found, from the registry: as JSON, as text for a terminal,
 * and as one HTML file that needs nothing else (inline SVG, no scripts, everything escaped).
 *
 * The document is a JSON object {run, model, environment, profile, experiments, result}; text and
 * HTML are renderings of it. Ownership: results are fresh strings (hone_free) or references
 * (json_decref). Threading: that of the registry.
 */
#ifndef HONE_REPORT_REPORT_H
#define HONE_REPORT_REPORT_H

#include "store/registry.h"

#include <jansson.h>

/* run 0 = the latest (of the model, unless model is 0 too). An experiment of the document carries
 * its decision, and `pareto`: no other measured one is both faster and closer to the original.
 * Errors: NOT_FOUND (no such run), FORMAT (a damaged record), those of the registry. */
HONE_CHECKED hone_status hone_report_document(hone_registry *r, int64_t model, int64_t run,
                                              json_t **out);
HONE_CHECKED hone_status hone_report_text(const json_t *document, char **text);
HONE_CHECKED hone_status hone_report_html(const json_t *document, char **html);

#endif
