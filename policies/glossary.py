"""What guards look for, in the declared languages besides English: a table of English=forms.

Negators, numbers, opposites, directions, units of time. Forms are given as people type them, one
word each; turns of several words stand in `PHRASES`.
"""

from __future__ import annotations

import re

_TABLE = {
    "de": """
not=nicht | no=kein keine keinen keinem keiner keines | never=nie niemals | nobody=niemand
nothing=nichts | without=ohne | with=mit | before=vor bevor | after=nach nachdem danach
one=eins | two=zwei | three=drei | four=vier | five=fünf | six=sechs | seven=sieben | eight=acht
nine=neun | ten=zehn | eleven=elf | twelve=zwölf | thirteen=dreizehn | fourteen=vierzehn
fifteen=fünfzehn | sixteen=sechzehn | seventeen=siebzehn | eighteen=achtzehn | nineteen=neunzehn
twenty=zwanzig | thirty=dreißig dreissig | forty=vierzig | fifty=fünfzig | sixty=sechzig
seventy=siebzig | eighty=achtzig | ninety=neunzig | hundred=hundert | thousand=tausend
million=million millionen | half=halb halbe halber halbes | double=doppelt
first=erste ersten erster | second=zweite zweiten zweiter | third=dritte dritten dritter
from=von aus | to=zu zum zur | enable=aktivieren aktiviere aktiviert einschalten anschalten
disable=deaktivieren deaktiviere deaktiviert ausschalten abschalten | open=öffnen öffne
close=schließen schließe | buy=kaufen kaufe | sell=verkaufen verkaufe
increase=erhöhen erhöhe steigern | decrease=senken senke verringern | add=hinzufügen
remove=entfernen entferne löschen lösche | create=erstellen erstelle anlegen
install=installieren installiere | uninstall=deinstallieren deinstalliere
start=starten starte beginnen | stop=stoppen stoppe beenden beende | up=hoch aufwärts
down=runter abwärts | more=mehr | less=weniger | big=groß große großen
small=klein kleine kleinen | high=hoch hohe | low=niedrig niedrige | hot=heiß | cold=kalt
always=immer | best=beste besten bester | worst=schlechteste schlechtesten | left=links
right=rechts | day=tag tage tagen | week=woche wochen | month=monat monate monaten
year=jahr jahre jahren | hours=stunde stunden | minutes=minute minuten | allowed=erlaubt
forbidden=verboten | healthy=gesund | sick=krank | today=heute | tomorrow=morgen
yesterday=gestern | monday=montag | tuesday=dienstag | wednesday=mittwoch | thursday=donnerstag
friday=freitag | saturday=samstag | sunday=sonntag
""",
    "fr": """
not=pas | never=jamais | nobody=personne | nothing=rien | none=aucun aucune | without=sans
with=avec | before=avant | after=après | two=deux | three=trois | four=quatre | five=cinq
six=six | seven=sept | eight=huit | nine=neuf | ten=dix | eleven=onze | twelve=douze
thirteen=treize | fourteen=quatorze | fifteen=quinze | sixteen=seize | twenty=vingt
thirty=trente | forty=quarante | fifty=cinquante | sixty=soixante | hundred=cent
thousand=mille | million=million millions | half=demi demie moitié | double=double
first=premier première | second=deuxième second seconde | third=troisième | from=de depuis d'
to=à vers | enable=activer active activez activé | disable=désactiver désactive désactivez
open=ouvrir ouvre | close=fermer ferme | buy=acheter achète | sell=vendre vends
increase=augmenter augmente | decrease=diminuer réduire baisser | add=ajouter ajoute
remove=supprimer supprime enlever retirer | create=créer crée | install=installer installe
uninstall=désinstaller désinstalle | start=démarrer commencer démarre | stop=arrêter arrête
more=plus | less=moins | big=grand grande | small=petit petite | high=haut haute élevé
low=bas basse | hot=chaud chaude | cold=froid froide | always=toujours | best=meilleur meilleure
worst=pire | left=gauche | right=droite | day=jour jours | week=semaine semaines | month=mois
year=an ans année années | hours=heure heures | minutes=minute minutes | allowed=permis autorisé
forbidden=interdit | today=aujourd'hui | tomorrow=demain | yesterday=hier | monday=lundi
tuesday=mardi | wednesday=mercredi | thursday=jeudi | friday=vendredi | saturday=samedi
sunday=dimanche
""",
    "es": """
not=no | never=nunca jamás | nobody=nadie | nothing=nada | none=ningún ninguna ninguno
without=sin | with=con | before=antes | after=después | two=dos | three=tres | four=cuatro
five=cinco | six=seis | seven=siete | eight=ocho | nine=nueve | ten=diez | eleven=once
twelve=doce | thirteen=trece | fourteen=catorce | fifteen=quince | twenty=veinte
thirty=treinta | forty=cuarenta | fifty=cincuenta | sixty=sesenta | seventy=setenta
eighty=ochenta | ninety=noventa | hundred=cien ciento | thousand=mil | million=millón millones
half=medio media mitad | double=doble | first=primero primera primer | second=segundo segunda
third=tercero tercera tercer | from=de desde | to=a hacia | enable=activar activo activa
disable=desactivar desactivo desactiva | open=abrir abro | close=cerrar cierro
buy=comprar compro | sell=vender vendo | increase=aumentar aumento
decrease=disminuir reducir bajar | add=añadir agregar añado
remove=eliminar elimino quitar borrar | create=crear creo | install=instalar instalo
uninstall=desinstalar desinstalo | start=iniciar empezar comenzar | stop=parar detener
more=más | less=menos | big=grande | small=pequeño pequeña | high=alto alta | low=bajo baja
hot=caliente | cold=frío fría | always=siempre | best=mejor mejores | worst=peor peores
left=izquierda | right=derecha | day=día días | week=semana semanas | month=mes meses
year=año años | hours=hora horas | minutes=minuto minutos | allowed=permitido
forbidden=prohibido | today=hoy | tomorrow=mañana | yesterday=ayer | monday=lunes
tuesday=martes | wednesday=miércoles | thursday=jueves | friday=viernes | saturday=sábado
sunday=domingo
""",
    "pt": """
not=não | never=nunca jamais | nobody=ninguém | nothing=nada | none=nenhum nenhuma | without=sem
with=com | before=antes | after=depois após | two=dois duas | three=três | four=quatro
five=cinco | six=seis | seven=sete | eight=oito | nine=nove | ten=dez | eleven=onze
twelve=doze | thirteen=treze | fourteen=catorze quatorze | fifteen=quinze | twenty=vinte
thirty=trinta | forty=quarenta | fifty=cinquenta | sixty=sessenta | seventy=setenta
eighty=oitenta | ninety=noventa | hundred=cem cento | thousand=mil | million=milhão milhões
half=meio meia metade | double=dobro | first=primeiro primeira | second=segundo segunda
third=terceiro terceira | from=de desde | to=para | enable=ativar ativo ativa habilitar
disable=desativar desativo desativa desabilitar | open=abrir abro | close=fechar fecho
buy=comprar compro | sell=vender vendo | increase=aumentar aumento | decrease=diminuir reduzir
add=adicionar adiciono | remove=remover excluir apagar removo | create=criar crio
install=instalar instalo | uninstall=desinstalar desinstalo | start=iniciar começar | stop=parar
more=mais | less=menos | big=grande | small=pequeno pequena | high=alto alta | low=baixo baixa
hot=quente | cold=frio fria | always=sempre | best=melhor melhores | worst=pior piores
left=esquerda | right=direita | day=dia dias | week=semana semanas | month=mês meses
year=ano anos | hours=hora horas | minutes=minuto minutos | allowed=permitido
forbidden=proibido | today=hoje | tomorrow=amanhã | yesterday=ontem | monday=segunda-feira
saturday=sábado | sunday=domingo
""",
    "it": """
not=non | never=mai | nobody=nessuno | nothing=niente nulla | none=nessun nessuna
without=senza | with=con | before=prima | after=dopo | two=due | three=tre | four=quattro
five=cinque | six=sei | seven=sette | eight=otto | nine=nove | ten=dieci | eleven=undici
twelve=dodici | thirteen=tredici | fourteen=quattordici | fifteen=quindici | twenty=venti
thirty=trenta | forty=quaranta | fifty=cinquanta | sixty=sessanta | seventy=settanta
eighty=ottanta | ninety=novanta | hundred=cento | thousand=mille mila | million=milione milioni
half=mezzo mezza metà | double=doppio | first=primo | second=secondo seconda | third=terzo terza
from=da dal dalla | to=a verso | enable=attivare attivo attiva
disable=disattivare disattivo disattiva | open=aprire apro | close=chiudere chiudo
buy=comprare compro | sell=vendere vendo | increase=aumentare aumento
decrease=diminuire ridurre | add=aggiungere aggiungo
remove=rimuovere rimuovo eliminare elimino cancellare | create=creare creo
install=installare installo | uninstall=disinstallare disinstallo | start=avviare iniziare
stop=fermare | more=più | less=meno | big=grande grandi | small=piccolo piccola | high=alto alta
low=basso bassa | hot=caldo calda | cold=freddo fredda | always=sempre | best=migliore migliori
worst=peggiore peggiori | left=sinistra | right=destra | day=giorno giorni
week=settimana settimane | month=mese mesi | year=anno anni | hours=ora ore
minutes=minuto minuti | allowed=permesso | forbidden=vietato | today=oggi | tomorrow=domani
yesterday=ieri | monday=lunedì | tuesday=martedì | wednesday=mercoledì | thursday=giovedì
friday=venerdì | saturday=sabato | sunday=domenica
""",
    "nl": """
not=niet | no=geen | never=nooit | nobody=niemand | nothing=niets | without=zonder | with=met
before=voor voordat | after=na nadat | two=twee | three=drie | four=vier | five=vijf | six=zes
seven=zeven | eight=acht | nine=negen | ten=tien | eleven=elf | twelve=twaalf | thirteen=dertien
fourteen=veertien | fifteen=vijftien | twenty=twintig | thirty=dertig | forty=veertig
fifty=vijftig | sixty=zestig | seventy=zeventig | eighty=tachtig | ninety=negentig
hundred=honderd | thousand=duizend | million=miljoen | half=half halve helft | double=dubbel
first=eerste | second=tweede | third=derde | from=van vanuit | to=naar
enable=inschakelen activeren activeer aanzetten
disable=uitschakelen deactiveren deactiveer uitzetten | open=openen | close=sluiten sluit
buy=kopen koop | sell=verkopen verkoop | increase=verhogen verhoog | decrease=verlagen verlaag
add=toevoegen | remove=verwijderen verwijder | create=maken aanmaken
install=installeren installeer | uninstall=deïnstalleren verwijderen | start=starten beginnen
stop=stoppen | more=meer | less=minder | big=groot grote | small=klein kleine | high=hoog hoge
low=laag lage | hot=heet | cold=koud | always=altijd | best=beste | worst=slechtste | left=links
right=rechts | day=dag dagen | week=week weken | month=maand maanden | year=jaar jaren
hours=uur uren | minutes=minuut minuten | allowed=toegestaan | forbidden=verboden
today=vandaag | tomorrow=morgen | yesterday=gisteren | monday=maandag | tuesday=dinsdag
wednesday=woensdag | thursday=donderdag | friday=vrijdag | saturday=zaterdag | sunday=zondag
""",
}


def _glosses(table: str) -> dict[str, str]:
    """Each form with its English word."""
    found: dict[str, str] = {}
    for entry in table.replace("\n", "|").split("|"):
        english, _, forms = entry.strip().partition("=")
        found |= dict.fromkeys(forms.casefold().split(), english)
    return found


def _with_kin(language: str) -> dict[str, str]:
    """Its own forms, and the longer ones of languages that a short text is mistaken for."""
    kin = next(family for family in _KIN if language in family)
    others = (_glosses(_TABLE[other]) for other in kin if other != language)
    borrowed = {form: put for table in others for form, put in table.items() if len(form) >= _LONG}
    return borrowed | _glosses(_TABLE[language])


_KIN = (("es", "pt", "it"), ("fr",), ("de",), ("nl",))
_LONG = 5
GLOSSES = {language: _with_kin(language) for language in _TABLE}
_END = r"(?=\s*(?:[.,;:?!]|$))"
PHRASES: dict[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    language: tuple((re.compile(pattern, re.IGNORECASE), put) for pattern, put in phrases)
    for language, phrases in {
        # the particle of a parted verb stands last: `ich schalte das Licht ein`
        "de": (
            (rf"\b(?:ein|an){_END}", "on"),
            (rf"\b(?:aus|ab){_END}", "off"),
            (r"\bnach (?-i:(?=[A-ZÄÖÜ]))", "to "),
        ),
        "fr": ((r"\bne\b|\bn'", " "), (r"\bd'(?=\w)", "de "), (r"\bl'(?=\w)", "")),
        "nl": ((rf"\baan{_END}", "on"), (rf"\buit{_END}", "off")),
    }.items()
}
"""Turns of phrase with what they read as in English, put in before single words are."""
