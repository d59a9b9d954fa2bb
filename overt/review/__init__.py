"""Review by people: a local page that shows what is worth a person's time, and what their labels say.

questions    what people are asked, and with which keys they answer
population   everything in a run that can be reviewed
sample       which of it is: stratified, with known inclusion probabilities
label_store  the plan and every label, in RUN/review.sqlite
assignments  who gets which item next
desk         what the page can ask for
server       the page, on loopback only (overt.web keeps others out)
estimate     from labels of a sample to figures of the population, with intervals
results      precision, agreement, and what people rejected
corrected    the over-refusal rate that labels correct
export       a file of the labels
"""
