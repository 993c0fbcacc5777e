/*
 * group - what the control groups let this process have: the least that its own group and those
 * above it allow.
 *
 * Threading: any thread.
 */
#ifndef HONE_HW_GROUP_H
#define HONE_HW_GROUP_H

typedef struct hone_group_limits {
    int version;         /* of the groups, 1 or 2; 0 = there are none to be read */
    double cpus;         /* quota by period; 0 = no limit */
    double memory_bytes; /* 0 = no limit */
} hone_group_limits;

/* root: "" for this machine; tests give a folder that holds its own proc/ and sys/. */
void hone_group_read(const char *root, hone_group_limits *out);

#endif
