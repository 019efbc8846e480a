"""The literature that methods sections of studies cite, and a list of what was cited."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of the list of references.

    Attributes
    ----------
    short : str
        As it stands in the text: authors and year.
    full : str
        The reference, without the DOI.
    doi : str
        Empty where there is none.
    """

    short: str
    full: str
    doi: str = ""


SOURCES: dict[str, Source] = {
    "task_force": Source(
        "Task Force, 1996",
        "Task Force of the European Society of Cardiology and the North American Society of "
        "Pacing and Electrophysiology (1996). Heart rate variability: standards of measurement, "
        "physiological interpretation, and clinical use. Circulation, 93, 1043–1065.",
        "10.1161/01.CIR.93.5.1043",
    ),
    "pan": Source(
        "Pan & Tompkins, 1985",
        "Pan, J., & Tompkins, W. J. (1985). A real-time QRS detection algorithm. IEEE "
        "Transactions on Biomedical Engineering, 32, 230–236.",
        "10.1109/TBME.1985.325532",
    ),
    "viterbi": Source(
        "Viterbi, 1967",
        "Viterbi, A. J. (1967). Error bounds for convolutional codes and an asymptotically "
        "optimum decoding algorithm. IEEE Transactions on Information Theory, 13, 260–269.",
        "10.1109/TIT.1967.1054010",
    ),
    "lipponen": Source(
        "Lipponen & Tarvainen, 2019",
        "Lipponen, J. A., & Tarvainen, M. P. (2019). A robust algorithm for heart rate "
        "variability time series artefact correction using novel beat classification. Journal "
        "of Medical Engineering & Technology, 43, 173–181.",
        "10.1080/03091902.2019.1640306",
    ),
    "orphanidou": Source(
        "Orphanidou et al., 2015",
        "Orphanidou, C., Bonnici, T., Charlton, P., Clifton, D., Vallance, D., & Tarassenko, L. "
        "(2015). Signal-quality indices for the electrocardiogram and photoplethysmogram. IEEE "
        "Journal of Biomedical and Health Informatics, 19, 832–838.",
        "10.1109/JBHI.2014.2338351",
    ),
    "welch": Source(
        "Welch, 1967",
        "Welch, P. D. (1967). The use of fast Fourier transform for the estimation of power "
        "spectra. IEEE Transactions on Audio and Electroacoustics, 15, 70–73.",
        "10.1109/TAU.1967.1161901",
    ),
    "laguna": Source(
        "Laguna et al., 1998",
        "Laguna, P., Moody, G. B., & Mark, R. G. (1998). Power spectral density of unevenly "
        "sampled data by least-square analysis. IEEE Transactions on Biomedical Engineering, "
        "45, 698–715.",
        "10.1109/10.678605",
    ),
    "boardman": Source(
        "Boardman et al., 2002",
        "Boardman, A., Schlindwein, F. S., Rocha, A. P., & Leite, A. (2002). A study on the "
        "optimum order of autoregressive models for heart rate variability. Physiological "
        "Measurement, 23, 325–336.",
        "10.1088/0967-3334/23/2/308",
    ),
    "brennan": Source(
        "Brennan et al., 2001",
        "Brennan, M., Palaniswami, M., & Kamen, P. (2001). Do existing measures of Poincaré "
        "plot geometry reflect nonlinear features of heart rate variability? IEEE Transactions "
        "on Biomedical Engineering, 48, 1342–1347.",
        "10.1109/10.959330",
    ),
    "richman": Source(
        "Richman & Moorman, 2000",
        "Richman, J. S., & Moorman, J. R. (2000). Physiological time-series analysis using "
        "approximate entropy and sample entropy. American Journal of Physiology: Heart and "
        "Circulatory Physiology, 278, H2039–H2049.",
        "10.1152/ajpheart.2000.278.6.H2039",
    ),
    "peng": Source(
        "Peng et al., 1995",
        "Peng, C.-K., Havlin, S., Stanley, H. E., & Goldberger, A. L. (1995). Quantification of "
        "scaling exponents and crossover phenomena in nonstationary heartbeat time series. "
        "Chaos, 5, 82–87.",
        "10.1063/1.166141",
    ),
    "laborde": Source(
        "Laborde et al., 2017",
        "Laborde, S., Mosley, E., & Thayer, J. F. (2017). Heart rate variability and cardiac "
        "vagal tone in psychophysiological research. Frontiers in Psychology, 8, 213.",
        "10.3389/fpsyg.2017.00213",
    ),
    "porges": Source(
        "Porges & Bohrer, 1990",
        "Porges, S. W., & Bohrer, R. E. (1990). The analysis of periodic processes in "
        "psychophysiological research. In J. T. Cacioppo & L. G. Tassinary (Eds.), Principles "
        "of psychophysiology (pp. 708–753). Cambridge University Press.",
    ),
    "lewis": Source(
        "Lewis et al., 2012",
        "Lewis, G. F., Furman, S. A., McCool, M. F., & Porges, S. W. (2012). Statistical "
        "strategies to quantify respiratory sinus arrhythmia: Are commonly used metrics "
        "equivalent? Biological Psychology, 89, 349–364.",
        "10.1016/j.biopsycho.2011.11.009",
    ),
    "grossman": Source(
        "Grossman et al., 1990",
        "Grossman, P., van Beek, J., & Wientjes, C. (1990). A comparison of three "
        "quantification methods for estimation of respiratory sinus arrhythmia. "
        "Psychophysiology, 27, 702–714.",
        "10.1111/j.1469-8986.1990.tb03198.x",
    ),
    "charlton": Source(
        "Charlton et al., 2016",
        "Charlton, P. H., Bonnici, T., Tarassenko, L., Clifton, D. A., Beale, R., & Watkinson, "
        "P. J. (2016). An assessment of algorithms to estimate respiratory rate from the "
        "electrocardiogram and photoplethysmogram. Physiological Measurement, 37, 610–626.",
        "10.1088/0967-3334/37/4/610",
    ),
    "schafer": Source(
        "Schäfer & Kratky, 2008",
        "Schäfer, A., & Kratky, K. W. (2008). Estimation of breathing rate from respiratory "
        "sinus arrhythmia: Comparison of various methods. Annals of Biomedical Engineering, 36, "
        "476–485.",
        "10.1007/s10439-007-9428-1",
    ),
    "bertinieri": Source(
        "Bertinieri et al., 1985",
        "Bertinieri, G., di Rienzo, M., Cavallazzi, A., Ferrari, A. U., Pedotti, A., & Mancia, "
        "G. (1985). A new approach to analysis of the arterial baroreflex. Journal of "
        "Hypertension, 3(Suppl. 3), S79–S81.",
    ),
    "westerhof": Source(
        "Westerhof et al., 2004",
        "Westerhof, B. E., Gisolf, J., Stok, W. J., Wesseling, K. H., & Karemaker, J. M. "
        "(2004). Time-domain cross-correlation baroreflex sensitivity: Performance on the "
        "EUROBAVAR data set. Journal of Hypertension, 22, 1371–1380.",
        "10.1097/01.hjh.0000125439.28861.ed",
    ),
    "robbe": Source(
        "Robbe et al., 1987",
        "Robbe, H. W. J., Mulder, L. J. M., Rüddel, H., Langewitz, W. A., Veldman, J. B. P., & "
        "Mulder, G. (1987). Assessment of baroreceptor reflex sensitivity by means of spectral "
        "analysis. Hypertension, 10, 538–543.",
        "10.1161/01.HYP.10.5.538",
    ),
    "shapiro": Source(
        "Shapiro et al., 1996",
        "Shapiro, D., Jamner, L. D., Lane, J. D., Light, K. C., Myrtek, M., Sawada, Y., & "
        "Steptoe, A. (1996). Blood pressure publication guidelines. Psychophysiology, 33, 1–12.",
        "10.1111/j.1469-8986.1996.tb02103.x",
    ),
    "boucsein": Source(
        "Boucsein et al., 2012",
        "Boucsein, W., Fowles, D. C., Grimnes, S., Ben-Shakhar, G., Roth, W. T., Dawson, M. E., "
        "& Filion, D. L. (2012). Publication recommendations for electrodermal measurements. "
        "Psychophysiology, 49, 1017–1034.",
        "10.1111/j.1469-8986.2012.01384.x",
    ),
    "eilers": Source(
        "Eilers, 2003",
        "Eilers, P. H. C. (2003). A perfect smoother. Analytical Chemistry, 75, 3631–3636.",
        "10.1021/ac034173t",
    ),
    "benedek": Source(
        "Benedek & Kaernbach, 2010",
        "Benedek, M., & Kaernbach, C. (2010). A continuous measure of phasic electrodermal "
        "activity. Journal of Neuroscience Methods, 190, 80–91.",
        "10.1016/j.jneumeth.2010.04.028",
    ),
    "greco": Source(
        "Greco et al., 2016",
        "Greco, A., Valenza, G., Lanata, A., Scilingo, E. P., & Citi, L. (2016). cvxEDA: A "
        "convex optimization approach to electrodermal activity processing. IEEE Transactions "
        "on Biomedical Engineering, 63, 797–804.",
        "10.1109/TBME.2015.2474131",
    ),
    "kleckner": Source(
        "Kleckner et al., 2018",
        "Kleckner, I. R., Jones, R. M., Wilder-Smith, O., Wormwood, J. B., Akcakaya, M., "
        "Quigley, K. S., Lord, C., & Goodwin, M. S. (2018). Simple, transparent, and flexible "
        "automated quality assessment procedures for ambulatory electrodermal activity data. "
        "IEEE Transactions on Biomedical Engineering, 65, 1460–1467.",
        "10.1109/TBME.2017.2758643",
    ),
    "quigley": Source(
        "Quigley et al., 2024",
        "Quigley, K. S., Gianaros, P. J., Norman, G. J., Jennings, J. R., Berntson, G. G., & de "
        "Geus, E. J. C. (2024). Publication guidelines for human heart rate and heart rate "
        "variability studies in psychophysiology—Part 1: Physiological underpinnings and "
        "foundations of measurement. Psychophysiology, 61, e14604.",
        "10.1111/psyp.14604",
    ),
    "quintana": Source(
        "Quintana et al., 2016",
        "Quintana, D. S., Alvares, G. A., & Heathers, J. A. J. (2016). Guidelines for Reporting "
        "Articles on Psychiatry and Heart rate variability (GRAPH): Recommendations to advance "
        "research communication. Translational Psychiatry, 6, e803.",
        "10.1038/tp.2016.73",
    ),
    "llabre": Source(
        "Llabre et al., 1991",
        "Llabre, M. M., Spitzer, S. B., Saab, P. G., Ironson, G. H., & Schneiderman, N. (1991). "
        "The reliability and specificity of delta versus residualized change as measures of "
        "cardiovascular reactivity to behavioral challenges. Psychophysiology, 28, 701–711.",
        "10.1111/j.1469-8986.1991.tb01017.x",
    ),
    "pruessner": Source(
        "Pruessner et al., 2003",
        "Pruessner, J. C., Kirschbaum, C., Meinlschmid, G., & Hellhammer, D. H. (2003). Two "
        "formulas for computation of the area under the curve represent measures of total "
        "hormone concentration versus time-dependent change. Psychoneuroendocrinology, 28, "
        "916–931.",
        "10.1016/S0306-4530(02)00108-7",
    ),
    "christenfeld": Source(
        "Christenfeld et al., 2000",
        "Christenfeld, N., Glynn, L. M., & Gerin, W. (2000). On the reliable assessment of "
        "cardiovascular recovery: An application of curve-fitting techniques. Psychophysiology, "
        "37, 543–550.",
    ),
    "seeman": Source(
        "Seeman et al., 1997",
        "Seeman, T. E., Singer, B. H., Rowe, J. W., Horwitz, R. I., & McEwen, B. S. (1997). "
        "Price of adaptation: Allostatic load and its health consequences. MacArthur studies of "
        "successful aging. Archives of Internal Medicine, 157, 2259–2268.",
        "10.1001/archinte.1997.00440400111013",
    ),
    "cronbach": Source(
        "Cronbach, 1951",
        "Cronbach, L. J. (1951). Coefficient alpha and the internal structure of tests. "
        "Psychometrika, 16, 297–334.",
        "10.1007/BF02310555",
    ),
    "carmeli": Source(
        "Carmeli et al., 2009",
        "Carmeli, A., Brueller, D., & Dutton, J. E. (2009). Learning behaviours in the "
        "workplace: The role of high-quality interpersonal relationships and psychological "
        "safety. Systems Research and Behavioral Science, 26, 81–98.",
        "10.1002/sres.932",
    ),
    "lepore": Source(
        "Lepore et al., 1993",
        "Lepore, S. J., Allen, K. A. M., & Evans, G. W. (1993). Social support lowers "
        "cardiovascular reactivity to an acute stressor. Psychosomatic Medicine, 55, 518–524.",
        "10.1097/00006842-199311000-00007",
    ),
    "hc3": Source(
        "MacKinnon & White, 1985",
        "MacKinnon, J. G., & White, H. (1985). Some heteroskedasticity-consistent covariance "
        "matrix estimators with improved finite sample properties. Journal of Econometrics, 29, "
        "305–325.",
        "10.1016/0304-4076(85)90158-7",
    ),
    "bell": Source(
        "Bell & McCaffrey, 2002",
        "Bell, R. M., & McCaffrey, D. F. (2002). Bias reduction in standard errors for linear "
        "regression with multi-stage samples. Survey Methodology, 28, 169–181.",
    ),
    "imbens": Source(
        "Imbens & Kolesár, 2016",
        "Imbens, G. W., & Kolesár, M. (2016). Robust standard errors in small samples: Some "
        "practical advice. Review of Economics and Statistics, 98, 701–712.",
        "10.1162/REST_a_00552",
    ),
    "pustejovsky": Source(
        "Pustejovsky & Tipton, 2018",
        "Pustejovsky, J. E., & Tipton, E. (2018). Small-sample methods for cluster-robust "
        "variance estimation and hypothesis testing in fixed effects models. Journal of "
        "Business & Economic Statistics, 36, 672–683.",
        "10.1080/07350015.2016.1247004",
    ),
    "mancl": Source(
        "Mancl & DeRouen, 2001",
        "Mancl, L. A., & DeRouen, T. A. (2001). A covariance estimator for GEE with improved "
        "small-sample properties. Biometrics, 57, 126–134.",
        "10.1111/j.0006-341X.2001.00126.x",
    ),
    "liang": Source(
        "Liang & Zeger, 1986",
        "Liang, K.-Y., & Zeger, S. L. (1986). Longitudinal data analysis using generalized "
        "linear models. Biometrika, 73, 13–22.",
        "10.1093/biomet/73.1.13",
    ),
    "welch_t": Source(
        "Welch, 1951",
        "Welch, B. L. (1951). On the comparison of several mean values: An alternative "
        "approach. Biometrika, 38, 330–336.",
        "10.1093/biomet/38.3-4.330",
    ),
    "curran": Source(
        "Curran & Bauer, 2011",
        "Curran, P. J., & Bauer, D. J. (2011). The disaggregation of within-person and "
        "between-person effects in longitudinal models of change. Annual Review of Psychology, "
        "62, 583–619.",
        "10.1146/annurev.psych.093008.100356",
    ),
    "sawada": Source(
        "Sawada & Kato, 2011",
        "Sawada, Y., & Kato, Y. (2011). How carryover has an effect on recovery measures "
        "related to the area under the curve: Theoretical and experimental investigations using "
        "cardiovascular parameters. Medical & Biological Engineering & Computing, 49, 297–304.",
        "10.1007/s11517-011-0744-0",
    ),
    "feldt": Source(
        "Feldt et al., 1987",
        "Feldt, L. S., Woodruff, D. J., & Salih, F. A. (1987). Statistical inference for "
        "coefficient alpha. Applied Psychological Measurement, 11, 93–103.",
        "10.1177/014662168701100107",
    ),
    "holm": Source(
        "Holm, 1979",
        "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian "
        "Journal of Statistics, 6, 65–70.",
    ),
    "hedges": Source(
        "Hedges, 1981",
        "Hedges, L. V. (1981). Distribution theory for Glass's estimator of effect size and "
        "related estimators. Journal of Educational Statistics, 6, 107–128.",
        "10.3102/10769986006002107",
    ),
    "huber": Source(
        "Huber, 1964",
        "Huber, P. J. (1964). Robust estimation of a location parameter. Annals of Mathematical "
        "Statistics, 35, 73–101.",
        "10.1214/aoms/1177703732",
    ),
    "statsmodels": Source(
        "Seabold & Perktold, 2010",
        "Seabold, S., & Perktold, J. (2010). statsmodels: Econometric and statistical modeling "
        "with Python. Proceedings of the 9th Python in Science Conference, 92–96.",
        "10.25080/Majora-92bf1922-011",
    ),
    "pingouin": Source(
        "Vallat, 2018",
        "Vallat, R. (2018). Pingouin: Statistics in Python. Journal of Open Source Software, 3, "
        "1026.",
        "10.21105/joss.01026",
    ),
    "scipy": Source(
        "Virtanen et al., 2020",
        "Virtanen, P., Gommers, R., Oliphant, T. E., Haberland, M., Reddy, T., Cournapeau, D., "
        "et al. (2020). SciPy 1.0: Fundamental algorithms for scientific computing in Python. "
        "Nature Methods, 17, 261–272.",
        "10.1038/s41592-019-0686-2",
    ),
    "neurokit": Source(
        "Makowski et al., 2021",
        "Makowski, D., Pham, T., Lau, Z. J., Brammer, J. C., Lespinasse, F., Pham, H., "
        "Schölzel, C., & Chen, S. H. A. (2021). NeuroKit2: A Python toolbox for "
        "neurophysiological signal processing. Behavior Research Methods, 53, 1689–1696.",
        "10.3758/s13428-020-01516-y",
    ),
}


@dataclass
class Cited:
    """Keeps what was cited, so that the list of references holds just that.

    Examples
    --------
    >>> cited = Cited()
    >>> cited("welch")
    '([Welch, 1967](https://doi.org/10.1109/TAU.1967.1161901))'
    >>> len(cited.references())
    1
    """

    keys: set[str] = field(default_factory=set)

    def __call__(self, *keys: str) -> str:
        """Return a citation in parentheses: linked by DOI where there is one."""
        return f"({self.bare(*keys)})"

    def bare(self, *keys: str) -> str:
        """Return a citation for a place that already stands in parentheses."""
        self.keys.update(keys)
        entries = sorted((SOURCES[key] for key in keys), key=lambda source: source.short)
        return "; ".join(_linked(source) for source in entries)

    def named(self, key: str) -> str:
        """Return authors and year for the middle of a sentence.

        Examples
        --------
        >>> Cited().named("welch"), Cited().named("porges")
        ('Welch ([1967](https://doi.org/10.1109/TAU.1967.1161901))', 'Porges and Bohrer (1990)')
        """
        self.keys.add(key)
        source = SOURCES[key]
        authors, year = source.short.rsplit(", ", 1)
        linked = f"[{year}]({_address(source.doi)})" if source.doi else year
        return f"{authors.replace(' & ', ' and ')} ({linked})"

    def references(self) -> list[str]:
        """Return the references of what was cited, in the order of the alphabet."""
        entries = sorted((SOURCES[key] for key in self.keys), key=lambda source: source.full)
        return [
            f"{source.full} {_linked_doi(source.doi)}" if source.doi else source.full
            for source in entries
        ]


def _linked(source: Source) -> str:
    return f"[{source.short}]({_address(source.doi)})" if source.doi else source.short


def _linked_doi(doi: str) -> str:
    return f"doi: [{doi}]({_address(doi)})"


def _address(doi: str) -> str:
    """Return the address of a DOI, whose parentheses would end a link."""
    return "https://doi.org/" + doi.replace("(", "%28").replace(")", "%29")
