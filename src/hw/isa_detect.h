/* isa_detect - asks the processor and the operating system anew which sets there are;
 * hone_isa_supported keeps the first answer. Private to hw/; tests put another answer in its place.
 */
#ifndef HONE_HW_ISA_DETECT_H
#define HONE_HW_ISA_DETECT_H

/* Bit i is set if set i (hw/isa.h) is supported. For AMX it asks for the permission. */
unsigned hone_isa_detect(void);

#endif
