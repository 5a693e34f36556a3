/** What went wrong, in a sentence for whoever uses the page. */
export class Problem extends Error {}
