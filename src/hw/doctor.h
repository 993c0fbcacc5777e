/*
 * doctor - what this machine has, what is wrong with it, and the command that mends it.
 *
 * Everything is read from /proc, /sys and the system calls; nothing is changed and nothing is
 * measured (hw/limits.h measures). What cannot be read is left out, not guessed.
 *
 * Ownership: a report is one plain struct. Threading: any thread.
 */
#ifndef HONE_HW_DOCTOR_H
#define HONE_HW_DOCTOR_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_DOCTOR_FACTS_MAX = 40, HONE_DOCTOR_TEXT = 200 };

typedef enum hone_health {
    HONE_HEALTH_FINE,
    HONE_HEALTH_NOTE, /* costs speed, or is worth knowing */
    HONE_HEALTH_BAD   /* makes measurements or results worthless, or will make runs fail */
} hone_health;

typedef struct hone_doctor_fact {
    const char *name;             /* "transparent huge pages" */
    char value[HONE_DOCTOR_TEXT]; /* "madvise" */
    hone_health health;
    char why[HONE_DOCTOR_TEXT];  /* what the problem costs; "" when fine */
    char mend[HONE_DOCTOR_TEXT]; /* the command that mends it; "" = nothing can be done from here */
} hone_doctor_fact;

typedef struct hone_doctor_report {
    hone_doctor_fact facts[HONE_DOCTOR_FACTS_MAX];
    int count;
} hone_doctor_report;

/* root: "" for this machine; tests give a folder that holds its own proc/ and sys/. */
void hone_doctor_examine(const char *root, hone_doctor_report *out);

#endif
