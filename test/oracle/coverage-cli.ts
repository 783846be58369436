// `npm run oracle:coverage`: prints the coverage report of the committed corpus.
import { coverageOf, formatCoverage } from './coverage.ts';
import { openCorpus } from './open.ts';

const corpus = openCorpus();
process.stdout.write(formatCoverage(coverageOf(corpus), corpus.cpu));
